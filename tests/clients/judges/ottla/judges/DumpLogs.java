package ottla.judges;

import java.io.BufferedOutputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.apache.kafka.common.utils.Exit;
import org.apache.kafka.tools.DumpLogSegments;

/**
 * Runs kafka-dump-log many times in one JVM: {@code DumpLogs JOBS OUT ERR}.
 *
 * <p>JOBS has one job a line, its arguments separated by tabs. What each prints goes to the files OUT and ERR, where a
 * line {@code @@ N} opens the part of the N-th job (from 0). The tool reports no problem by its exit code, some by an
 * exception: that becomes a line of ERR.
 */
public final class DumpLogs {
    private static final int BUFFER_BYTES = 1 << 20;

    private DumpLogs() {}

    public static void main(String[] args) throws IOException {
        List<String> jobs = Files.readAllLines(Path.of(args[0]), StandardCharsets.UTF_8);
        Exit.setExitProcedure((status, message) -> {
            throw new IllegalStateException("the tool exits with " + status + ": " + message);
        });
        try (PrintStream out = stream(args[1]); PrintStream err = stream(args[2])) {
            System.setOut(out);
            System.setErr(err);
            for (int i = 0; i < jobs.size(); i++) {
                out.println("@@ " + i);
                err.println("@@ " + i);
                try {
                    DumpLogSegments.main(jobs.get(i).split("\t"));
                } catch (Exception | Error e) {
                    err.println("the tool failed: " + e);
                }
            }
            out.println("@@ end");
            err.println("@@ end");
        }
    }

    private static PrintStream stream(String path) throws IOException {
        return new PrintStream(new BufferedOutputStream(new FileOutputStream(path), BUFFER_BYTES), false, StandardCharsets.UTF_8);
    }
}
