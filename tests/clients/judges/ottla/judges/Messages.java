package ottla.judges;

import java.io.PrintStream;
import java.lang.reflect.Method;
import java.lang.reflect.ParameterizedType;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.message.RequestHeaderData;
import org.apache.kafka.common.message.ResponseHeaderData;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.Field;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.protocol.types.Type;

/**
 * Every message that Apache Kafka has, in every stable version, with every field filled: {@code Messages}.
 *
 * <p>Runs with the classes of Kafka 3.9, too, which knows the oldest versions.
 *
 * <p>A line for each: {@code request|response API VERSION HEX JSON}, the frame as Kafka's own code writes it, and its
 * body as Kafka's own code tells it.
 */
public final class Messages {
    private static final int NULL_EVERY = 4;

    /** Goes up with every value, so that no two fields hold the same one. */
    private int next;

    private int depth;

    private Messages() {}

    public static void main(String[] args) throws Exception {
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        for (ApiMessageType type : ApiMessageType.values()) {
            for (short version = type.lowestSupportedVersion();
                    version <= type.highestSupportedVersion(false);
                    version++) {
                Schema request = type.requestSchemas()[version];
                Schema response = type.responseSchemas()[version];
                print(out, "request", type, version, requestHeader(type, version), type.newRequest(), request);
                print(out, "response", type, version, responseHeader(type, version), type.newResponse(), response);
            }
        }
        out.flush();
    }

    private static void print(
            PrintStream out,
            String direction,
            ApiMessageType type,
            short version,
            byte[] header,
            ApiMessage body,
            Schema schema)
            throws Exception {
        new Messages().fill(body, schema);
        Class<?> converter = Class.forName(body.getClass().getName() + "JsonConverter");
        Object json = converter
                .getMethod("write", body.getClass(), short.class, boolean.class)
                .invoke(null, body, version, false);
        String hex = HexFormat.of().formatHex(header) + HexFormat.of().formatHex(bytes(body, version));
        out.println(direction + " " + type.name + " " + version + " " + hex + " " + json);
    }

    private static byte[] requestHeader(ApiMessageType type, short version) {
        RequestHeaderData header = new RequestHeaderData()
                .setRequestApiKey(type.apiKey())
                .setRequestApiVersion(version)
                .setCorrelationId(7)
                .setClientId("messages");
        return bytes(header, type.requestHeaderVersion(version));
    }

    private static byte[] responseHeader(ApiMessageType type, short version) {
        return bytes(new ResponseHeaderData().setCorrelationId(7), type.responseHeaderVersion(version));
    }

    private static byte[] bytes(Message message, short version) {
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer buffer = ByteBuffer.allocate(message.size(cache, version));
        message.write(new ByteBufferAccessor(buffer), cache, version);
        buffer.flip();
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        return bytes;
    }

    /** Sets the fields that this version has. */
    private void fill(Object message, Schema schema) throws Exception {
        for (BoundField bound : schema.fields()) {
            if (bound.def.type instanceof TaggedFields tagged) {
                // 3.9 tells them to nobody.
                java.lang.reflect.Field fields = TaggedFields.class.getDeclaredField("fields");
                fields.setAccessible(true);
                for (Object field : new TreeMap<>((Map<?, ?>) fields.get(tagged)).values()) {
                    set(message, (Field) field);
                }
            } else {
                set(message, bound.def);
            }
        }
    }

    private void set(Object message, Field field) throws Exception {
        String wanted = "set" + field.name.replace("_", "").toLowerCase(Locale.ROOT);
        for (Method method : message.getClass().getMethods()) {
            if (method.getName().toLowerCase(Locale.ROOT).equals(wanted)) {
                next++;
                boolean isNull = field.type.isNullable() && next % NULL_EVERY == 0;
                java.lang.reflect.Type type = method.getGenericParameterTypes()[0];
                method.invoke(message, isNull ? null : value(type, field.type));
                return;
            }
        }
        throw new IllegalStateException(message.getClass() + " has no " + field.name);
    }

    private Object value(java.lang.reflect.Type type, Type wire) throws Exception {
        next++;
        if (type instanceof ParameterizedType list) {
            return fillList(new ArrayList<>(), list.getActualTypeArguments()[0], wire);
        }
        Class<?> kind = (Class<?>) type;
        if (kind == boolean.class) {
            return next % 3 != 0;
        } else if (kind == byte.class || kind == Byte.class) {
            return (byte) next;
        } else if (kind == short.class || kind == Short.class) {
            return (short) (100 + next);
        } else if (kind == int.class || kind == Integer.class) {
            // What is 16 bits wide without a sign is an int in Java.
            return wire == Type.UINT16 ? 60000 + next : 100000 + next;
        } else if (kind == long.class || kind == Long.class) {
            return 10_000_000_000L + next;
        } else if (kind == double.class) {
            return next + 0.5;
        } else if (kind == String.class) {
            return "text " + next;
        } else if (kind == Uuid.class) {
            return new Uuid(next, next + 1);
        } else if (kind == byte[].class) {
            return new byte[] {1, (byte) next, -1, 0, 5, 6, 7, 8, 9};
        } else if (kind == ByteBuffer.class) {
            return ByteBuffer.wrap(new byte[] {1, (byte) next, -1, 0, 5, 6, 7, 8, 9});
        } else if (kind.getSimpleName().equals("BaseRecords")) {
            // The package is another one since 4.0. Nobody looks into them here.
            Method readable = Class.forName(kind.getPackageName() + ".MemoryRecords")
                    .getMethod("readableRecords", ByteBuffer.class);
            return readable.invoke(null, ByteBuffer.wrap(new byte[70]));
        } else if (Collection.class.isAssignableFrom(kind)) {
            @SuppressWarnings("unchecked")
            Collection<Object> items = (Collection<Object>) kind.getConstructor().newInstance();
            ParameterizedType parent = (ParameterizedType) kind.getGenericSuperclass();
            return fillList(items, parent.getActualTypeArguments()[0], wire);
        }
        Object inner = kind.getConstructor().newInstance();
        fill(inner, (Schema) wire);
        return inner;
    }

    /** Two items at the top, one below. */
    private Object fillList(Collection<Object> items, java.lang.reflect.Type item, Type wire) throws Exception {
        Type inner = wire.arrayElementType().orElseThrow();
        int count = depth == 0 ? 2 : 1;
        depth++;
        for (int i = 0; i < count; i++) {
            items.add(value(item, inner));
        }
        depth--;
        return items;
    }
}
