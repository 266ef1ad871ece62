#include "mua/compose.h"

#include <unistd.h>

#include <algorithm>

#include "base/strings.h"
#include "message/header.h"
#include "mua/accounts.h"
#include "smtp/path.h"

namespace mail::mua {

using message::Address;
using message::BodyPart;

namespace {

message::DateTime now(const Clock& clock) {
  return message::local_time(std::chrono::floor<std::chrono::seconds>(clock.now()));
}

/// The text as given, with what it is written in made UTF-8 where that is clear.
BodyPart body_part(const Draft& draft) {
  auto text = BodyPart::text(draft.body);
  if (draft.html.empty()) return text;
  std::vector<BodyPart> both;
  both.push_back(std::move(text));
  both.push_back(BodyPart::text(draft.html, "html"));
  return BodyPart::multipart("alternative", std::move(both));
}

BodyPart whole_body(const Draft& draft) {
  auto body = body_part(draft);
  if (draft.attachments.empty() && draft.forwarded.empty()) return body;
  std::vector<BodyPart> parts;
  if (!draft.body.empty() || !draft.html.empty()) parts.push_back(std::move(body));
  if (!draft.forwarded.empty()) parts.push_back(BodyPart::message(draft.forwarded));
  for (const auto& attachment : draft.attachments) {
    const auto type =
        attachment.type.empty() ? message::guess_type(attachment.file_name, attachment.octets) : attachment.type;
    // A message goes as one (RFC 2046 section 5.2.1), everything else as octets with a name.
    parts.push_back(iequals(type, "message/rfc822")
                        ? BodyPart::message(attachment.octets)
                        : BodyPart::attachment(type, attachment.octets, attachment.file_name));
  }
  return BodyPart::multipart("mixed", std::move(parts));
}

/// What message::parse_addresses() makes the best of, though somebody who types it means something else: "a b" and
/// "ann ann2@x" (a comma is missing), "ann@" (the domain is).
bool is_slip(const Address& address, std::string_view text) {
  if (text.find('"') != std::string_view::npos) return false;
  for (auto at = text.find('@'); at != std::string_view::npos; at = text.find('@', at + 1))
    if (at + 1 == text.size() || std::string_view(" \t,;>").find(text[at + 1]) != std::string_view::npos) return true;
  const bool bare_name = !address.display_name.empty() && !address.from_comment;
  return (bare_name && text.find('<') == std::string_view::npos) || address.local_part.find(' ') != std::string::npos;
}

std::string domain_of(const Address& address, std::string_view host_name) {
  return address.domain.empty() ? std::string(host_name) : address.domain;
}

}  // namespace

Result<std::vector<Address>> parse_typed_addresses(std::string_view text, std::string_view domain) {
  std::vector<Address> out;
  const bool clean = message::for_each_address(text, [&](const Address& address) {
    if (address.kind == Address::Kind::mailbox) out.push_back(address);
  });
  for (auto& address : out) {
    if (is_slip(address, text))
      return fail(Error::Kind::syntax, concat({"\"", text, "\" is no list of mail addresses"}));
    if (address.domain.empty()) address.domain = domain;
    if (message::validate_addr_spec(message::addr_spec(address)) != message::AddressValidity::smtp)
      return fail(Error::Kind::syntax, concat({"\"", message::addr_spec(address), "\" is no mail address"}));
  }
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
  if (!clean || out.empty() || std::ranges::any_of(text, is_control))
    return fail(Error::Kind::syntax, concat({"\"", text, "\" is no list of mail addresses"}));
  return out;
}

Result<spool::Envelope> make_envelope(const std::string& reverse_path, const std::vector<Address>& recipients,
                                      const Draft& options, const Clock& clock) {
  spool::Envelope envelope;
  envelope.id = MessageId::generate(clock);
  envelope.arrival = clock.now();
  envelope.protocol = "local";
  envelope.client_address = "uid:" + decimal(::getuid());
  envelope.reverse_path = reverse_path;
  envelope.return_content = options.return_content;
  envelope.envelope_id = options.envelope_id;
  for (const auto& address : recipients) {
    spool::Recipient recipient;
    recipient.forward_path = message::addr_spec(address);
    const auto path = smtp::parse_mailbox(recipient.forward_path);
    if (!path) return fail(Error::Kind::syntax, concat({"\"", recipient.forward_path, "\" is no mail address"}));
    const auto same = [&](const spool::Recipient& other) {
      return iequals(other.forward_path, recipient.forward_path);
    };
    if (std::ranges::any_of(envelope.recipients, same)) continue;
    recipient.notify = options.notify;
    envelope.smtputf8 = envelope.smtputf8 || smtp::needs_smtputf8(*path);
    envelope.recipients.push_back(std::move(recipient));
  }
  if (envelope.recipients.empty()) return fail(Error::Kind::syntax, "there is no recipient");
  if (!reverse_path.empty()) {
    const auto path = smtp::parse_mailbox(reverse_path);
    if (!path) return fail(Error::Kind::syntax, concat({"\"", reverse_path, "\" is no mail address"}));
    envelope.smtputf8 = envelope.smtputf8 || smtp::needs_smtputf8(*path);
  }
  return envelope;
}

Result<Outgoing> compose(const Draft& draft, std::string_view host_name, const Clock& clock) {
  if (draft.from.empty())
    return fail(Error::Kind::syntax, "there is no From address: give --from, or set address in mua.toml");
  message::Builder builder;
  builder.date(now(clock)).from(draft.from).to(draft.to).cc(draft.cc).reply_to(draft.reply_to).subject(draft.subject);
  if (draft.to.empty() && draft.cc.empty()) builder.raw_field("To", "undisclosed-recipients:;");
  builder.message_id(domain_of(draft.from.front(), host_name));
  if (!draft.in_reply_to.empty()) builder.message_ids_field("In-Reply-To", {draft.in_reply_to});
  builder.message_ids_field("References", draft.references);
  for (const auto& [name, value] : draft.fields) {
    const bool ours = istarts_with(name, "Content-") || iequals(name, "MIME-Version") || iequals(name, "Bcc");
    if (!message::is_field_name(name) || ours)
      return fail(Error::Kind::syntax, concat({"\"", name, "\" cannot be given as a header field"}));
    if (value.find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos)
      return fail(Error::Kind::syntax, concat({"the field ", name, " has a line break"}));
    builder.text_field(name, value);
  }
  builder.body(whole_body(draft));
  std::vector<Address> recipients = draft.to;
  recipients.insert(recipients.end(), draft.cc.begin(), draft.cc.end());
  recipients.insert(recipients.end(), draft.bcc.begin(), draft.bcc.end());
  std::erase_if(recipients, [](const Address& address) { return address.kind != Address::Kind::mailbox; });
  const auto sender = draft.null_sender      ? std::string()
                      : draft.sender.empty() ? message::addr_spec(draft.from.front())
                                             : draft.sender;
  MAIL_TRY(envelope, make_envelope(sender, recipients, draft, clock));
  Outgoing out{envelope, builder.build()};
  if (!is_ascii(out.content)) out.envelope.body = spool::BodyType::eight_bit_mime;
  return out;
}

RawMessage complete_raw(std::string_view input, const std::vector<Address>& from, std::string_view host_name,
                        const Clock& clock) {
  RawMessage out;
  // An mbox line at the start is none of the message's.
  if (input.starts_with("From ") || input.starts_with(">From "))
    input.remove_prefix(std::min(input.find('\n'), input.size() - 1) + 1);
  // Text without any header is a body.
  const message::HeaderFields all(input);
  const auto first = all.begin();
  const bool has_header = first != all.end() && !first->name.empty();
  const auto header = has_header ? message::header_of(input) : std::string_view();
  const auto body = has_header ? message::body_of(input) : input;

  const message::HeaderFields fields(header);
  const bool resent = fields.find("Resent-To") || fields.find("Resent-Cc") || fields.find("Resent-Bcc");
  std::string kept;
  for (const auto& field : fields) {
    const auto name = to_lower(field.name);
    const bool recipients = resent ? name == "resent-to" || name == "resent-cc" || name == "resent-bcc"
                                   : name == "to" || name == "cc" || name == "bcc";
    if (recipients)
      for (auto& address : message::parse_mailboxes(field.value)) out.recipients.push_back(std::move(address));
    if (name.empty() || name == "bcc" || name == "resent-bcc" || name == "return-path")
      continue;  // lines that are no fields would end the header elsewhere
    kept += field.raw;
    if (!kept.ends_with('\n')) kept += '\n';
  }
  message::Builder added;
  if (!fields.find("From") && !from.empty()) added.from(from);
  if (!fields.find("Date")) added.date(now(clock));
  if (!fields.find("Message-ID"))
    added.message_id(from.empty() ? std::string(host_name) : domain_of(from.front(), host_name));
  // A Builder writes MIME-Version at the end; a message that came as it is keeps its own.
  auto extra = added.build();
  extra.resize(extra.find("MIME-Version:"));
  for (const auto part : {std::string_view(kept), std::string_view("\n"), body}) {
    for (std::size_t i = 0; i < part.size(); ++i) {
      if (part[i] == '\r' && (i + 1 == part.size() || part[i + 1] != '\n')) {
        out.content += "\r\n";  // a lone CR is a line end or nothing: SMTP has no other
      } else if (part[i] == '\n' && !out.content.ends_with('\r')) {
        out.content += "\r\n";
      } else if (part[i] != '\0') {
        out.content += part[i];
      }
    }
  }
  if (!out.content.ends_with("\r\n")) out.content += "\r\n";
  out.content.insert(0, extra);
  return out;
}

}  // namespace mail::mua
