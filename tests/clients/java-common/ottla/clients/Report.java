package ottla.clients;

import org.apache.kafka.common.utils.AppInfoParser;

/**
 * What the caller reads on standard output, one fact a line, fields by name:
 *
 * <pre>
 * row version=… case=… … result=ok|failed
 * stored topic=… partition=… records=… codec=… idempotent=on|off
 * </pre>
 *
 * A row that failed has its reason on standard error.
 */
final class Report {
    private boolean failed;

    /** A case that answers with the rest of its row, for example {@code records=10000}. */
    interface Case {
        String run() throws Exception;
    }

    void row(String fields, Case body) {
        String start = "row version=" + AppInfoParser.getVersion() + " " + fields;
        try {
            String found = body.run();
            System.out.println(start + (found.isEmpty() ? "" : " " + found) + " result=ok");
        } catch (Exception | AssertionError e) {
            failed = true;
            System.out.println(start + " result=failed");
            System.err.println("failed: " + fields + ": " + e);
            e.printStackTrace();
        }
        System.out.flush();
    }

    void stored(String topic, int partition, long records, String codec, boolean idempotent) {
        System.out.println("stored topic=" + topic + " partition=" + partition + " records=" + records + " codec="
                + codec + " idempotent=" + (idempotent ? "on" : "off"));
    }

    boolean failed() {
        return failed;
    }
}
