package ottla.judges;

import com.google.re2j.Pattern;
import com.google.re2j.PatternSyntaxException;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;

/**
 * Which topics Apache Kafka takes regular expressions to mean, by the library that it uses: {@code TopicRegexes FILE}.
 *
 * <p>FILE has a line {@code names: NAME...} and then a line {@code EXPRESSION => ANSWER} for each expression; it is
 * printed with the answers of RE2J: the names that match whole, {@code -} if none does,
 * or {@code error}.
 */
public final class TopicRegexes {
    private static final String NAMES = "names: ";
    private static final String ARROW = " => ";

    private TopicRegexes() {}

    public static void main(String[] args) throws IOException {
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        List<String> names = List.of();
        for (String line : Files.readAllLines(Path.of(args[0]), StandardCharsets.UTF_8)) {
            if (line.startsWith(NAMES)) {
                names = Arrays.asList(line.substring(NAMES.length()).split(" "));
            }
            int arrow = line.lastIndexOf(ARROW);
            if (line.startsWith("#") || arrow < 0) {
                out.println(line);
            } else {
                String regex = line.substring(0, arrow);
                out.println(regex + ARROW + answer(regex, names));
            }
        }
        out.flush();
    }

    private static String answer(String regex, List<String> names) {
        try {
            Pattern pattern = Pattern.compile(regex);
            String matched =
                    names.stream().filter(name -> pattern.matcher(name).matches()).collect(Collectors.joining(" "));
            return matched.isEmpty() ? "-" : matched;
        } catch (PatternSyntaxException e) {
            return "error";
        }
    }
}
