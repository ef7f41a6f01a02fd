package bench;

import bench.Messages.Approval;
import bench.Messages.Decision;
import bench.Messages.Event;
import bench.Messages.Reason;
import bench.Messages.Request;
import bench.Person.Consent;
import bench.Person.Contact;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.DayOfWeek;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.time.ZoneId;
import java.time.ZonedDateTime;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/** The policy of the benchmark: consents fold into the person, requests are decided. One instance a partition. */
final class Decider implements Processor<String, byte[], String, byte[]> {
    private static final long DAY_MS = 86_400_000L;
    private static final long HORIZON_MS = 7 * DAY_MS;
    private static final long HISTORY_MS = 30 * DAY_MS;
    private static final long TTL_MS = 900_000L;
    private static final String CHAIN = "\0chain"; // no subject can be called that
    private static final String GENESIS = "sha256:" + "0".repeat(64);
    private static final byte[] KEY = "bench-key-of-thirty-two-bytes-00".getBytes(StandardCharsets.US_ASCII);

    private final Registry registry;
    private final String requests;
    private final Map<String, ZoneId> zones = new HashMap<>();
    private ProcessorContext<String, byte[]> context;
    private KeyValueStore<String, byte[]> store;
    private MessageDigest sha;
    private Mac mac;

    Decider(Registry registry, String prefix) {
        this.registry = registry;
        this.requests = prefix + "contact-requests";
    }

    @Override
    public void init(ProcessorContext<String, byte[]> given) {
        context = given;
        store = given.getStateStore("subjects");
        try {
            sha = MessageDigest.getInstance("SHA-256");
            mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(KEY, "HmacSHA256"));
        } catch (GeneralSecurityException error) {
            throw new IllegalStateException(error);
        }
    }

    @Override
    public void process(Record<String, byte[]> record) {
        try {
            Person person = Person.of(store.get(record.key()));
            if (context.recordMetadata().orElseThrow().topic().equals(requests)) {
                decide(record, person);
            } else {
                apply(Messages.EVENT.readValue(record.value()), person);
                store.put(record.key(), person.bytes());
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private static void apply(Event event, Person person) {
        if (event.type().equals("subject.updated")) {
            person.zone = event.timezone();
            return;
        }
        long atMs = millis(event.time());
        if (event.type().equals("consent.granted")) {
            long expiresMs = event.expires_at() == null ? Long.MAX_VALUE : millis(event.expires_at());
            for (String channel : event.channels()) {
                for (String recipient : event.recipients()) {
                    person.consents.merge(channel + "/" + recipient, new Consent(atMs, expiresMs),
                            (old, fresh) -> old.grantedMs() <= fresh.grantedMs() ? fresh : old);
                }
            }
        } else if (event.type().equals("consent.withdrawn")) {
            for (String channel : event.channels()) {
                person.withdrawn.merge(channel, atMs, Math::max);
            }
        }
    }

    private void decide(Record<String, byte[]> record, Person person) throws IOException {
        Request request = Messages.REQUEST.readValue(record.value());
        long nowMs = millis(request.time());
        Contact contact = new Contact(nowMs, request);
        Contact before = approved(contact, person);
        if (before != null && !before.equals(new Contact(before.atMs(), request))) {
            publish(record, request, List.of("request.conflict"), false, nowMs);
        } else if (before != null) {
            boolean open = nowMs < before.atMs() + TTL_MS;
            publish(record, request, open ? List.of() : List.of("request.answered"), true, before.atMs());
        } else {
            List<String> reasons = judge(request, person, nowMs);
            if (reasons.isEmpty()) {
                person.contacts.add(contact);
            }
            store.put(record.key(), person.bytes());
            publish(record, request, reasons, false, nowMs);
        }
    }

    /** The newest approval of a request that came again, or null. */
    private static Contact approved(Contact asked, Person person) {
        for (int n = person.contacts.size() - 1; n >= 0; n--) {
            Contact contact = person.contacts.get(n);
            if (contact.requestId().equals(asked.requestId()) && asked.atMs() - contact.atMs() < HORIZON_MS) {
                return contact;
            }
        }
        return null;
    }

    private List<String> judge(Request request, Person person, long nowMs) {
        List<String> reasons = new ArrayList<>(2);
        String channel = request.channel();
        Consent consent = person.consents.get(channel + "/" + request.requester());
        Long withdrawnMs = person.withdrawn.get(channel);
        if (withdrawnMs != null && (consent == null || withdrawnMs >= consent.grantedMs())) {
            reasons.add("consent.withdrawn");
        } else if (consent == null) {
            reasons.add("consent.missing");
        } else if (nowMs >= consent.expiresMs()) {
            reasons.add("consent.expired");
        }
        person.contacts.removeIf(contact -> nowMs - contact.atMs() >= HISTORY_MS);
        long dayMs = nowMs - nowMs % DAY_MS;
        int voice = 0;
        int written = 0;
        int today = 0;
        for (Contact contact : person.contacts) {
            if (contact.channel().equals("voice")) {
                voice += nowMs - contact.atMs() < 7 * DAY_MS ? 1 : 0;
            } else {
                written += contact.requester().equals(request.requester()) ? 1 : 0;
            }
            today += contact.atMs() >= dayMs ? 1 : 0;
        }
        if (channel.equals("voice")) {
            if (voice >= 2) {
                reasons.add("cap.voice_7d");
            }
            if (person.zone.isEmpty()) {
                reasons.add("window.unknown_zone");
            } else {
                ZonedDateTime local = Instant.ofEpochMilli(nowMs).atZone(zones.computeIfAbsent(person.zone, ZoneId::of));
                if (local.getDayOfWeek() == DayOfWeek.SUNDAY || local.getHour() < 9 || local.getHour() >= 20) {
                    reasons.add("window.hours");
                }
            }
            if (registry.contains(request.address())) {
                reasons.add("registry.listed:us-ndnc");
            }
        } else if (written >= 3) {
            reasons.add("cap.written_30d");
        }
        if (today >= 2) {
            reasons.add("cap.daily");
        }
        return reasons;
    }

    /** `approvedMs`: when a request that passes was approved, which is earlier if it came again. */
    private void publish(Record<String, byte[]> record, Request request, List<String> reasons, boolean repeated,
                         long approvedMs) throws IOException {
        byte[] chain = store.get(CHAIN);
        long seq = chain == null ? 0 : ByteBuffer.wrap(chain).getLong();
        String prev = chain == null ? GENESIS : "sha256:" + HexFormat.of().formatHex(chain, 8, 40);
        boolean pass = reasons.isEmpty();
        String approval = pass ? approvalId(request) : null;
        String until = pass ? Instant.ofEpochMilli(approvedMs + TTL_MS).toString() : null;
        List<Reason> told = reasons.stream().map(Reason::new).toList();
        byte[] digest = sha.digest(Messages.DECISION.writeValueAsBytes(decision(request, pass, told, seq, prev, repeated,
                approval, until, null)));
        byte[] value = Messages.DECISION.writeValueAsBytes(decision(request, pass, told, seq, prev, repeated, approval,
                until, "sha256:" + HexFormat.of().formatHex(digest)));
        store.put(CHAIN, ByteBuffer.allocate(40).putLong(seq + 1).put(digest).array());
        context.forward(record.withValue(value), "decisions");
        if (pass) {
            byte[] token = mac.doFinal((request.requester() + ":" + request.subject_id()).getBytes(StandardCharsets.UTF_8));
            String hex = HexFormat.of().formatHex(token, 0, 16);
            byte[] approved = Messages.APPROVAL.writeValueAsBytes(new Approval("contact.approved", approval,
                    request.request_id(), hex, request.channel(), until, repeated ? true : null));
            RecordHeaders headers = new RecordHeaders();
            headers.add("requester", request.requester().getBytes(StandardCharsets.UTF_8));
            context.forward(new Record<>(hex, approved, record.timestamp(), headers), "approvals");
        }
    }

    private static Decision decision(Request request, boolean pass, List<Reason> reasons, long seq, String prev,
                                     boolean repeated, String approval, String until, String hash) {
        return new Decision("contact.decided", request.request_id(), request.subject_id(), request.requester(),
                request.channel(), pass ? "pass" : "block", reasons, request.time(), seq, prev, repeated ? true : null,
                approval, until, hash);
    }

    private String approvalId(Request request) {
        byte[] digest = sha.digest((request.subject_id() + ":" + request.request_id()).getBytes(StandardCharsets.UTF_8));
        return "ap-" + HexFormat.of().formatHex(digest, 0, 16);
    }

    private static long millis(String text) {
        return OffsetDateTime.parse(text).toInstant().toEpochMilli();
    }
}
