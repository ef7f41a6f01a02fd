package bench;

import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.ObjectWriter;
import java.util.List;

/** The messages of the topics, as Jackson reads and writes them. */
final class Messages {
    private static final ObjectMapper JSON = new ObjectMapper();
    static final ObjectReader EVENT = JSON.readerFor(Event.class);
    static final ObjectReader REQUEST = JSON.readerFor(Request.class);
    static final ObjectWriter DECISION = JSON.writerFor(Decision.class);
    static final ObjectWriter APPROVAL = JSON.writerFor(Approval.class);

    private Messages() {
    }

    @JsonIgnoreProperties(ignoreUnknown = true)
    record Event(String type, String time, String timezone, List<String> channels, List<String> recipients,
                 String expires_at) { }

    @JsonIgnoreProperties(ignoreUnknown = true)
    record Request(String request_id, String subject_id, String time, String requester, String controller,
                   String campaign_id, String purpose, String channel, String address,
                   List<String> data_categories) { }

    record Reason(String rule) { }

    @JsonInclude(JsonInclude.Include.NON_NULL)
    record Decision(String type, String request_id, String subject_id, String requester, String channel, String verdict,
                    List<Reason> reasons, String decided_at, long seq, String prev, Boolean duplicate,
                    String approval_id, String valid_until, String hash) { }

    @JsonInclude(JsonInclude.Include.NON_NULL)
    record Approval(String type, String approval_id, String request_id, String subject_token, String channel,
                    String valid_until, Boolean duplicate) { }
}
