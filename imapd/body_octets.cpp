#include "imapd/body_octets.h"

#include <algorithm>
#include <cstring>

#include "base/strings.h"
#include "message/header.h"
#include "message/search_text.h"

namespace mail::imapd {

std::uint64_t wire_octets(std::string_view raw) {
  std::uint64_t octets = raw.size();
  for (auto at = raw.find('\n'); at != std::string_view::npos; at = raw.find('\n', at + 1))
    if (at == 0 || raw[at - 1] != '\r') ++octets;
  return octets;
}

BodyOctets BodyOctets::whole(std::shared_ptr<store::MessageFile> file) {
  BodyOctets body;
  body.remaining_ = file->wire_octets();
  body.whole_ = true;
  body.file_ = std::move(file);
  return body;
}

BodyOctets BodyOctets::range(std::shared_ptr<store::MessageFile> file, std::string_view raw, std::uint64_t wire) {
  BodyOctets body;
  body.file_ = std::move(file);
  body.raw_ = raw;
  body.remaining_ = wire;
  return body;
}

BodyOctets BodyOctets::text(std::string octets) {
  BodyOctets body;
  body.remaining_ = octets.size();
  body.ready_ = std::move(octets);
  return body;
}

void BodyOctets::cut(const imap::Partial& partial) {
  const auto offset = std::min(partial.offset, remaining_);
  const auto length = std::min(partial.octets, remaining_ - offset);
  skip(offset);
  remaining_ = length;
}

void BodyOctets::skip(std::uint64_t octets) {
  if (whole_) {
    offset_ += octets;
    return;
  }
  constexpr std::size_t kSlice = 64 * 1024;
  for (;;) {
    const auto here = static_cast<std::size_t>(std::min<std::uint64_t>(octets, ready_.size() - ready_at_));
    ready_at_ += here;
    octets -= here;
    if (octets == 0 || raw_.empty()) return;
    ready_.clear();
    ready_at_ = 0;
    const auto slice = raw_.substr(0, kSlice);
    store::append_crlf(ready_, slice, last_);
    last_ = slice.back();
    raw_.remove_prefix(slice.size());
  }
}

bool BodyOctets::has_nul() const {
  return (file_ != nullptr && raw_.find('\0') != std::string_view::npos) || ready_.find('\0') != std::string::npos;
}

bool BodyOctets::produce(std::string& out, std::size_t most) {
  if (whole_) {
    const auto octets = std::min<std::uint64_t>(most, remaining_);
    file_->append_wire(out, offset_, octets);
    offset_ += octets;
    remaining_ -= octets;
    return remaining_ == 0;
  }
  if (const auto here = std::min<std::uint64_t>({most, remaining_, ready_.size() - ready_at_}); here > 0) {
    out.append(ready_, ready_at_, static_cast<std::size_t>(here));
    ready_at_ += static_cast<std::size_t>(here);
    remaining_ -= here;
  }
  if (remaining_ == 0 || raw_.empty()) return true;
  if (ready_at_ < ready_.size()) return false;
  const auto before = out.size();
  const auto slice = raw_.substr(0, most);
  store::append_crlf(out, slice, last_);
  last_ = slice.back();
  raw_.remove_prefix(slice.size());
  // A partial ends in the middle of a slice.
  if (out.size() - before > remaining_) out.resize(before + static_cast<std::size_t>(remaining_));
  remaining_ -= out.size() - before;
  return remaining_ == 0 || raw_.empty();
}

const message::Tree& MessageContent::tree() {
  if (!tree_) tree_ = message::parse(file_->raw());
  return *tree_;
}

std::string filter_header(std::string_view header, const imap::Section& section) {
  const bool wanted = section.what == imap::Section::Text::header_fields;
  std::string out;
  for (const auto& field : message::HeaderFields(header)) {
    const bool named = !field.name.empty() && std::ranges::any_of(section.fields, [&](const std::string& name) {
      return iequals(name, field.name);
    });
    if (named != wanted) continue;
    store::append_crlf(out, field.raw);
    if (!out.ends_with('\n')) out += "\r\n";
  }
  out += "\r\n";
  return out;
}

std::optional<BodyOctets> MessageContent::body(const imap::Section& section) {
  using Text = imap::Section::Text;
  const auto of = [this](std::string_view raw) { return BodyOctets::range(file_, raw, wire_octets(raw)); };
  if (section.part.empty()) {
    switch (section.what) {
      case Text::all:
        return BodyOctets::whole(file_);
      case Text::header:
        return of(message::header_of(raw()));
      case Text::text:
        return of(message::body_of(raw()));
      case Text::header_fields:
      case Text::header_fields_not:
        return BodyOctets::text(filter_header(message::header_of(raw()), section));
      case Text::mime:
        return std::nullopt;
    }
  }
  std::string number;
  for (const auto level : section.part) number += (number.empty() ? "" : ".") + decimal(level);
  const auto* part = tree().find(number);
  if (part == nullptr) return std::nullopt;
  const auto of_extent = [this](const message::Extent& extent) {
    return BodyOctets::range(file_, raw().substr(extent.begin, extent.octets()), extent.crlf_octets());
  };
  if (section.what == Text::all) return of_extent(part->body);
  if (section.what == Text::mime) return of_extent(part->header);
  // HEADER and TEXT of a part are those of the message that it holds.
  if (part->kind != message::Part::Kind::message || part->first_child == message::kNoPart) return std::nullopt;
  const auto& inner = tree()[part->first_child];
  if (section.what == Text::header) return of_extent(inner.header);
  if (section.what == Text::text) return of_extent(inner.body);
  return BodyOctets::text(filter_header(tree().header(inner), section));
}

Result<std::optional<BodyOctets>> MessageContent::binary(const imap::Section& section) {
  if (section.part.empty()) return std::optional<BodyOctets>(BodyOctets::whole(file_));
  std::string number;
  for (const auto level : section.part) number += (number.empty() ? "" : ".") + decimal(level);
  const auto* part = tree().find(number);
  if (part == nullptr) return std::optional<BodyOctets>();
  if (part->kind != message::Part::Kind::leaf || message::is_identity(part->encoding)) {
    if (part->encoding == message::TransferEncoding::unknown)
      return fail(Error::Kind::refused, "Unknown content transfer encoding");
    return std::optional<BodyOctets>(
        BodyOctets::range(file_, raw().substr(part->body.begin, part->body.octets()), part->body.crlf_octets()));
  }
  if (part->encoding != message::TransferEncoding::quoted_printable)
    return std::optional<BodyOctets>(BodyOctets::text(message::decoded_content(tree(), *part)));
  // Line ends of quoted-printable are line ends of the content, and those are CRLF here.
  std::string wire;
  store::append_crlf(wire, raw().substr(part->body.begin, part->body.octets()));
  return std::optional<BodyOctets>(BodyOctets::text(message::decode(part->encoding, wire)));
}

}  // namespace mail::imapd
