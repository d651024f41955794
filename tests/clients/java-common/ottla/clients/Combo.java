package ottla.clients;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** One way of producing: a codec, how many acknowledgements are awaited, and whether the producer is idempotent. */
record Combo(String codec, String acks, boolean idempotent) {

    /** Every way that the client has: idempotence demands acks=all, so there are four ways per codec. */
    static List<Combo> all() {
        List<Combo> all = new ArrayList<>();
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            all.add(new Combo(codec, "0", false));
            all.add(new Combo(codec, "1", false));
            all.add(new Combo(codec, "all", false));
            all.add(new Combo(codec, "all", true));
        }
        return all;
    }

    /** The end of its topic's name. */
    String topic() {
        return codec + "-acks-" + acks + (idempotent ? "-idempotent" : "");
    }

    /** The idempotent way is the client's default: it sets neither acks nor idempotence. */
    Map<String, Object> producerConfig() {
        Map<String, Object> config = new HashMap<>();
        config.put("compression.type", codec);
        if (!idempotent) {
            config.put("acks", acks);
            config.put("enable.idempotence", false);
        }
        return config;
    }

    boolean acknowledged() {
        return !acks.equals("0");
    }

    String fields() {
        return "codec=" + codec + " acks=" + acks + " idempotent=" + (idempotent ? "on" : "off");
    }
}
