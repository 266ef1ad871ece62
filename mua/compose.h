// From what a person or script gives to a message with its envelope.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "message/address.h"
#include "message/builder.h"
#include "mua/outgoing.h"

namespace mail::mua {

struct Attachment {
  std::string file_name;
  std::string type;  ///< Empty: guessed.
  std::string octets;
};

struct Draft {
  std::vector<message::Address> from, to, cc, bcc, reply_to;
  std::string subject;
  std::string body;                                         ///< UTF-8 or what the input was; LF or CRLF.
  std::string html;                                         ///< An alternative to the body; empty: none.
  std::vector<std::pair<std::string, std::string>> fields;  ///< More header fields.
  std::vector<Attachment> attachments;
  std::string forwarded;                ///< A whole message to go along as message/rfc822.
  std::string in_reply_to;              ///< Without angle brackets.
  std::vector<std::string> references;  ///< Likewise.
  // DSN (RFC 3461).
  spool::Notify notify;
  spool::ReturnContent return_content = spool::ReturnContent::unspecified;
  std::string envelope_id;
  std::string sender;  ///< The reverse-path where it is not the first From.
  bool null_sender = false;
};

/// Builds it: right MIME types, Date, Message-ID, no Bcc field.
/// @return syntax where there is no recipient, no From, or a header field that cannot be one
Result<Outgoing> compose(const Draft& draft, std::string_view host_name, const Clock& clock = Clock::system());

/// What sendmail is given: a message with its own header. Missing From, Date and Message-ID are added, Bcc is removed,
/// line ends become CRLF.
struct RawMessage {
  std::string content;
  std::vector<message::Address> recipients;  ///< Of To, Cc and Bcc; of the Resent- fields where there are such.
};
RawMessage complete_raw(std::string_view input, const std::vector<message::Address>& from, std::string_view host_name,
                        const Clock& clock = Clock::system());

/// The list a user typed: "Ann <a@b>, c@d". syntax names what cannot be an address. A bare name gets `domain`.
Result<std::vector<message::Address>> parse_typed_addresses(std::string_view text, std::string_view domain);
/// The envelope for a message to these; duplicates go once.
Result<spool::Envelope> make_envelope(const std::string& reverse_path, const std::vector<message::Address>& recipients,
                                      const Draft& options, const Clock& clock);

}  // namespace mail::mua
