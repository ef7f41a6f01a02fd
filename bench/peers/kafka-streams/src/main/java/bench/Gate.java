package bench;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.state.Stores;

/**
 * The benchmark's gate on Kafka Streams: exactly_once_v2, a RocksDB store with its changelog, one topology.
 *
 * Arguments: bootstrap prefix state-directory registry-file commit-interval-ms threads. Ends on SIGTERM. It has no order
 * barrier: a request may be decided before a consent that was appended before it.
 */
public final class Gate {
    private Gate() {
    }

    public static void main(String[] args) throws Exception {
        String prefix = args[1];
        Registry registry = new Registry(Path.of(args[3]));
        Topology topology = new Topology();
        topology.addSource("consents", Serdes.String().deserializer(), Serdes.ByteArray().deserializer(),
                prefix + "consent-events");
        topology.addSource("requests", Serdes.String().deserializer(), Serdes.ByteArray().deserializer(),
                prefix + "contact-requests");
        topology.addProcessor("gate", () -> new Decider(registry, prefix), "consents", "requests");
        topology.addStateStore(Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("subjects"),
                Serdes.String(), Serdes.ByteArray()).withCachingEnabled().withLoggingEnabled(Map.of()), "gate");
        topology.addSink("decisions", prefix + "contact-decisions", Serdes.String().serializer(),
                Serdes.ByteArray().serializer(), "gate");
        topology.addSink("approvals", (key, value, context) -> approvals(prefix, context.headers()),
                Serdes.String().serializer(), Serdes.ByteArray().serializer(), "gate");

        Properties p = new Properties();
        p.put(StreamsConfig.APPLICATION_ID_CONFIG, prefix + "kafka-streams");
        p.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, args[0]);
        p.put(StreamsConfig.STATE_DIR_CONFIG, args[2]);
        p.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        p.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, args[4]);
        p.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, args[5]);
        p.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, "1");
        // Static membership: a restart gets its partitions back at once instead of after the session timeout.
        p.put(StreamsConfig.consumerPrefix(ConsumerConfig.GROUP_INSTANCE_ID_CONFIG), "gate");
        p.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        p.put(StreamsConfig.consumerPrefix(ConsumerConfig.SESSION_TIMEOUT_MS_CONFIG), "10000");

        KafkaStreams streams = new KafkaStreams(topology, p);
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        CountDownLatch ended = new CountDownLatch(1);
        streams.setStateListener((now, before) -> {
            if (now == KafkaStreams.State.ERROR) {
                Runtime.getRuntime().halt(3);
            }
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            streams.close(Duration.ofSeconds(15));
            ended.countDown();
        }));
        Files.createDirectories(Path.of(args[2]));
        streams.start();
        ended.await();
    }

    /** The topic of the vendor that a record's header names. */
    private static String approvals(String prefix, org.apache.kafka.common.header.Headers headers) {
        return prefix + "approvals." + new String(headers.lastHeader("requester").value());
    }
}
