package bench;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** What is known of one person, and its bytes in the store. */
final class Person {
    record Consent(long grantedMs, long expiresMs) { }

    record Contact(long atMs, String requestId, String channel, String requester, String controller, String campaign,
                   String purpose, String address, String categories) {
        Contact(long atMs, Messages.Request request) {
            this(atMs, request.request_id(), request.channel(), request.requester(), request.controller(),
                    request.campaign_id(), request.purpose(), request.address(),
                    String.join(",", request.data_categories()));
        }
    }

    String zone = "";
    final Map<String, Consent> consents = new HashMap<>();
    final Map<String, Long> withdrawn = new HashMap<>();
    final List<Contact> contacts = new ArrayList<>();

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
                person.contacts.add(new Contact(in.readLong(), in.readUTF(), in.readUTF(), in.readUTF(), in.readUTF(),
                        in.readUTF(), in.readUTF(), in.readUTF(), in.readUTF()));
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
                out.writeUTF(contact.requestId());
                out.writeUTF(contact.channel());
                out.writeUTF(contact.requester());
                out.writeUTF(contact.controller());
                out.writeUTF(contact.campaign());
                out.writeUTF(contact.purpose());
                out.writeUTF(contact.address());
                out.writeUTF(contact.categories());
            }
            return bytes.toByteArray();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }
}
