package bench;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** What is known of one person, and its bytes in the store. */
final class Person {
    record Consent(long grantedMs, long expiresMs) { }

    record Contact(long atMs, String channel, String requester) { }

    record Seen(long atMs, List<String> reasons) { }

    String zone = "";
    final Map<String, Consent> consents = new HashMap<>();
    final Map<String, Long> withdrawn = new HashMap<>();
    final List<Contact> contacts = new ArrayList<>();
    final Map<String, Seen> seen = new LinkedHashMap<>();

    static Person of(byte[] bytes) {
        Person person = new Person();
        if (bytes == null) {
            return person;
        }
        try (DataInputStream in = new DataInputStream(new ByteArrayInputStream(bytes))) {
            person.zone = in.readUTF();
            for (int n = in.readShort(); n > 0; n--) {
                person.consents.put(in.readUTF(), new Consent(in.readLong(), in.readLong()));
            }
            for (int n = in.readShort(); n > 0; n--) {
                person.withdrawn.put(in.readUTF(), in.readLong());
            }
            for (int n = in.readShort(); n > 0; n--) {
                person.contacts.add(new Contact(in.readLong(), in.readUTF(), in.readUTF()));
            }
            for (int n = in.readShort(); n > 0; n--) {
                String id = in.readUTF();
                long atMs = in.readLong();
                List<String> reasons = new ArrayList<>();
                for (int m = in.readByte(); m > 0; m--) {
                    reasons.add(in.readUTF());
                }
                person.seen.put(id, new Seen(atMs, reasons));
            }
            return person;
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    byte[] bytes() {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream(512);
        try (DataOutputStream out = new DataOutputStream(bytes)) {
            out.writeUTF(zone);
            out.writeShort(consents.size());
            for (Map.Entry<String, Consent> entry : consents.entrySet()) {
                out.writeUTF(entry.getKey());
                out.writeLong(entry.getValue().grantedMs());
                out.writeLong(entry.getValue().expiresMs());
            }
            out.writeShort(withdrawn.size());
            for (Map.Entry<String, Long> entry : withdrawn.entrySet()) {
                out.writeUTF(entry.getKey());
                out.writeLong(entry.getValue());
            }
            out.writeShort(contacts.size());
            for (Contact contact : contacts) {
                out.writeLong(contact.atMs());
                out.writeUTF(contact.channel());
                out.writeUTF(contact.requester());
            }
            out.writeShort(seen.size());
            for (Map.Entry<String, Seen> entry : seen.entrySet()) {
                out.writeUTF(entry.getKey());
                out.writeLong(entry.getValue().atMs());
                out.writeByte(entry.getValue().reasons().size());
                for (String reason : entry.getValue().reasons()) {
                    out.writeUTF(reason);
                }
            }
            return bytes.toByteArray();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }
}
