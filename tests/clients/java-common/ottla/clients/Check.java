package ottla.clients;

import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** Demands that name what differed, and waits that end. */
final class Check {
    static final long WAIT_SECONDS_MAX = 30;

    private Check() {}

    static void that(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    static void same(Object expected, Object found, String what) {
        if (!java.util.Objects.equals(expected, found)) {
            throw new AssertionError(what + ": expected " + expected + ", found " + found);
        }
    }

    static <T> T await(Future<T> future) throws Exception {
        return future.get(WAIT_SECONDS_MAX, TimeUnit.SECONDS);
    }

    /** A step that the broker may need a moment for. */
    interface Step {
        void run() throws Exception;
    }

    /**
     * Runs the step until it passes.
     *
     * <p>For a broker whose metadata follows a moment after an answer: Apache Kafka may answer CreateTopics and then
     * not know the topic, or DeleteTopics and still list it. Ottla promises that what was answered is known, so there
     * the step runs once.
     */
    static void settled(boolean prompt, Step step) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(WAIT_SECONDS_MAX);
        while (true) {
            try {
                step.run();
                return;
            } catch (ExecutionException | AssertionError e) {
                if (prompt || System.nanoTime() > deadline) {
                    throw e;
                }
                TimeUnit.MILLISECONDS.sleep(20);
            }
        }
    }

    /** The call must be refused with exactly this error. */
    static void refused(Class<? extends Exception> error, Future<?> future, String what)
            throws InterruptedException, TimeoutException {
        try {
            future.get(WAIT_SECONDS_MAX, TimeUnit.SECONDS);
        } catch (ExecutionException e) {
            same(error, e.getCause().getClass(), what + ": refused with " + e.getCause());
            return;
        }
        throw new AssertionError(what + ": was not refused");
    }
}
