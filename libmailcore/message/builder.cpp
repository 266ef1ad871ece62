#include "message/builder.h"

#include <algorithm>

#include "base/id.h"
#include "base/strings.h"
#include "message/encoded_word.h"
#include "message/encoding.h"
#include "message/header.h"

namespace mail::message {

namespace {

std::string with_crlf(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 32);
  while (!text.empty()) {
    const auto end = text.find('\n');
    auto line = text.substr(0, end);
    if (end == std::string_view::npos) {
      out += line;
      break;
    }
    if (line.ends_with('\r')) line.remove_suffix(1);
    out += line;
    out += "\r\n";
    text.remove_prefix(end + 1);
  }
  return out;
}

bool is_eight_bit(std::string_view octets) { return !is_ascii(octets); }

/// Whether `value` can stand in a header: printable, and each line end is followed by white space.
bool is_safe_value(std::string_view value) {
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (value[i] == '\0') return false;
    if (value[i] == '\r' &&
        (i + 2 >= value.size() || value[i + 1] != '\n' || !is_space(static_cast<unsigned char>(value[i + 2]))))
      return false;
    if (value[i] == '\n' && (i == 0 || value[i - 1] != '\r')) return false;
  }
  return true;
}

void set_field(std::vector<std::pair<std::string, std::string>>& fields, std::string_view name,
               std::string_view value) {
  const auto found = std::ranges::find_if(fields, [&](const auto& field) { return iequals(field.first, name); });
  if (found != fields.end()) {
    found->second = value;
  } else {
    fields.emplace_back(name, value);
  }
}

std::string_view last_component(std::string_view path) {
  const auto slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

}  // namespace

BodyPart& BodyPart::field(std::string_view name, std::string_view value) {
  if (is_field_name(name) && is_safe_value(value)) set_field(fields_, name, value);
  return *this;
}

BodyPart BodyPart::text(std::string_view utf8, std::string_view subtype) {
  BodyPart part;
  const bool ascii = is_ascii(utf8);
  part.field("Content-Type", concat({"text/", subtype, "; charset=",
                                     ascii           ? "us-ascii"
                                     : is_utf8(utf8) ? "utf-8"
                                                     : "unknown-8bit"}));
  const auto encoding = choose_encoding(utf8, true);
  switch (encoding) {
    case TransferEncoding::base64:
      part.body_ = encode_base64(with_crlf(utf8));
      break;
    case TransferEncoding::quoted_printable:
      part.body_ = encode_quoted_printable(utf8);
      break;
    default:
      part.body_ = with_crlf(utf8);
  }
  part.field("Content-Transfer-Encoding", name(encoding));
  return part;
}

BodyPart BodyPart::content(std::string_view type, std::string_view octets) {
  if (istarts_with(type, "message/rfc822")) return message(octets);
  BodyPart part;
  part.field("Content-Type", type);
  // Files come out as they went in: only text that needs no encoding travels as lines, all else as octets.
  const bool lines = istarts_with(type, "text/") && octets.find('\r') == std::string_view::npos;
  auto encoding = choose_encoding(octets, lines);
  const bool seven_bit = encoding == TransferEncoding::seven_bit;
  if (seven_bit && (lines || octets.find('\n') == std::string_view::npos)) {
    part.body_ = with_crlf(octets);
  } else {
    encoding = seven_bit ? TransferEncoding::base64 : choose_encoding(octets, false);
    if (encoding == TransferEncoding::seven_bit) encoding = TransferEncoding::base64;
    part.body_ = encoding == TransferEncoding::base64 ? encode_base64(octets) : encode_quoted_printable_binary(octets);
  }
  part.field("Content-Transfer-Encoding", name(encoding));
  return part;
}

BodyPart BodyPart::attachment(std::string_view type, std::string_view octets, std::string_view file_name) {
  // A file arrives octet by octet as it was, its line ends too: so base64, also where it is text.
  BodyPart part;
  if (istarts_with(type, "message/rfc822")) {
    part = message(octets);
  } else {
    part.field("Content-Type", type);
    part.field("Content-Transfer-Encoding", name(TransferEncoding::base64));
    part.body_ = encode_base64(octets);
  }
  const auto name = last_component(file_name);
  auto content_type = part.fields_.front().second;
  if (istarts_with(type, "text/") && ifind(type, "charset") == std::string_view::npos)
    content_type += is_ascii(octets) ? "; charset=us-ascii" : is_utf8(octets) ? "; charset=utf-8" : "";
  part.field("Content-Type", content_type);
  part.field("Content-Disposition", "attachment" + (name.empty() ? std::string() : format_parameter("filename", name)));
  return part;
}

BodyPart BodyPart::message(std::string_view message) {
  BodyPart part;
  part.body_ = with_crlf(message);
  part.eight_bit_ = is_eight_bit(part.body_);
  part.field("Content-Type", "message/rfc822");
  part.field("Content-Transfer-Encoding", part.eight_bit_ ? "8bit" : "7bit");
  return part;
}

BodyPart BodyPart::raw(std::string_view raw) {
  BodyPart part;
  for (const auto& field : HeaderFields(raw))
    if (!field.name.empty()) part.fields_.emplace_back(field.name, trim(field.value));
  part.body_ = with_crlf(body_of(raw));
  part.eight_bit_ = is_eight_bit(part.body_);
  return part;
}

BodyPart BodyPart::multipart(std::string_view subtype, std::vector<BodyPart> parts, std::vector<Parameter> parameters) {
  BodyPart out;
  std::string boundary;
  const auto occurs = [&] {
    return std::ranges::any_of(parts,
                               [&](const BodyPart& part) { return part.body_.find(boundary) != std::string::npos; });
  };
  do {
    boundary = "=_" + random_token(24);  // "=_" can occur in neither quoted-printable nor base64 (RFC 2045 section 6.7)
  } while (occurs());
  std::string type = concat({"multipart/", subtype, ";\r\n\tboundary=\"", boundary, "\""});
  for (const auto& [name, value] : parameters) type += format_parameter(name, value);
  out.field("Content-Type", type);
  for (const auto& part : parts) {
    out.body_ += concat({"--", boundary, "\r\n"});
    part.append_to(out.body_);
    // The line end before a boundary is the boundary's (RFC 2046 section 5.1.1): a last line that is content needs one
    // of its own.
    if (!out.body_.ends_with("\r\n") || !part.ends_in_filling()) out.body_ += "\r\n";
    out.eight_bit_ = out.eight_bit_ || part.eight_bit_;
  }
  out.body_ += concat({"--", boundary, "--\r\n"});
  if (out.eight_bit_) out.field("Content-Transfer-Encoding", "8bit");
  return out;
}

/// True where the last line end of the body is none of its content: base64, and what a multipart writes behind its last
/// boundary.
bool BodyPart::ends_in_filling() const {
  return std::ranges::any_of(fields_, [](const auto& field) {
    return (iequals(field.first, "Content-Transfer-Encoding") && iequals(field.second, "base64")) ||
           (iequals(field.first, "Content-Type") && istarts_with(field.second, "multipart/"));
  });
}

void BodyPart::append_to(std::string& to) const {
  for (const auto& [name, value] : fields_) to += concat({name, ": ", value, "\r\n"});
  to += "\r\n";
  to += body_;
}

Builder& Builder::date(const DateTime& date) { return raw_field("Date", format_date(date)); }

Builder& Builder::addresses_field(std::string_view name, const std::vector<Address>& addresses) {
  if (addresses.empty() || !is_field_name(name)) return *this;
  return raw_field(name, to_header(addresses, name.size() + 2));
}

Builder& Builder::text_field(std::string_view name, std::string_view utf8) {
  if (is_field_name(name)) header_ += concat({name, ": ", encode_unstructured(utf8, name.size() + 2), "\r\n"});
  return *this;
}

Builder& Builder::raw_field(std::string_view name, std::string_view value) {
  if (is_field_name(name) && is_safe_value(value)) header_ += concat({name, ": ", value, "\r\n"});
  return *this;
}

Builder& Builder::message_id(std::string_view domain) {
  return raw_field("Message-ID", concat({"<", random_token(24), "@", domain, ">"}));
}

Builder& Builder::message_ids_field(std::string_view name, const std::vector<std::string>& ids) {
  if (ids.empty()) return *this;
  std::string value;
  for (const auto& id : ids) value += concat({value.empty() ? "<" : "\r\n <", id, ">"});
  return raw_field(name, value);
}

bool Builder::has(std::string_view name) const { return HeaderFields(header_).find(name).has_value(); }

Builder& Builder::body(BodyPart part) {
  body_ = std::move(part);
  return *this;
}

std::string Builder::build() const {
  std::string out;
  out.reserve(header_.size() + body_.body().size() + 512);
  out = header_;
  out += "MIME-Version: 1.0\r\n";
  body_.append_to(out);
  if (!out.ends_with("\r\n")) out += "\r\n";
  return out;
}

BodyPart report(std::string_view report_type, std::string_view human_text, std::string_view machine_text,
                std::string_view returned, bool only_header) {
  std::vector<BodyPart> parts;
  parts.push_back(BodyPart::text(human_text));
  parts.push_back(BodyPart::raw(concat({"Content-Type: message/", report_type, "\r\n\r\n", machine_text})));
  if (only_header) {
    const auto header = header_of(returned);
    parts.push_back(
        BodyPart::raw(concat({"Content-Type: text/rfc822-headers\r\n",
                              is_ascii(header) ? "" : "Content-Transfer-Encoding: 8bit\r\n", "\r\n", header})));
  } else {
    parts.push_back(BodyPart::message(returned));
  }
  return BodyPart::multipart("report", std::move(parts), {{"report-type", std::string(report_type)}});
}

}  // namespace mail::message
