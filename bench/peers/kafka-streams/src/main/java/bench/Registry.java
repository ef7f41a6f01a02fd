package bench;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;

/** A sorted list of telephone numbers in memory: eight bytes each. */
final class Registry {
    private final long[] numbers;

    Registry(Path file) throws IOException {
        try (BufferedReader lines = Files.newBufferedReader(file)) {
            numbers = lines.lines().mapToLong(line -> Long.parseLong(line, 1, line.length(), 10)).sorted().toArray();
        }
    }

    boolean contains(String number) {
        return Arrays.binarySearch(numbers, Long.parseLong(number, 1, number.length(), 10)) >= 0;
    }
}
