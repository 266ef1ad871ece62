#include "message/tree_parser.h"

#include <cstring>

#include "base/cursor.h"
#include "base/strings.h"
#include "message/header.h"
#include "message/parameters.h"

namespace mail::message {

namespace {

void begin_extent(Extent& extent, std::size_t offset, std::size_t lines, std::size_t bare_lf) {
  extent = {offset, offset, lines, bare_lf};  // the counts at the beginning, until end_extent() takes the difference
}
void end_extent(Extent& extent, std::size_t offset, std::size_t lines, std::size_t bare_lf) {
  if (offset < extent.begin) offset = extent.begin, lines = extent.lines, bare_lf = extent.bare_lf;
  extent = {extent.begin, offset, lines - extent.lines, bare_lf - extent.bare_lf};
}

std::optional<KnownField> known_field(std::string_view name) {
  struct Row {
    std::string_view name;
    KnownField field;
  };
  static constexpr std::array kRows{
      Row{"to", KnownField::to},
      Row{"cc", KnownField::cc},
      Row{"bcc", KnownField::bcc},
      Row{"date", KnownField::date},
      Row{"from", KnownField::from},
      Row{"sender", KnownField::sender},
      Row{"subject", KnownField::subject},
      Row{"reply-to", KnownField::reply_to},
      Row{"message-id", KnownField::message_id},
      Row{"references", KnownField::references},
      Row{"content-id", KnownField::content_id},
      Row{"in-reply-to", KnownField::in_reply_to},
      Row{"content-md5", KnownField::content_md5},
      Row{"content-type", KnownField::content_type},
      Row{"content-language", KnownField::content_language},
      Row{"content-location", KnownField::content_location},
      Row{"content-description", KnownField::content_description},
      Row{"content-disposition", KnownField::content_disposition},
      Row{"content-transfer-encoding", KnownField::content_transfer_encoding},
  };
  static constexpr std::size_t kLongest = 25;
  static constexpr auto kFirstOfLength = [] {
    std::array<std::uint8_t, kLongest + 2> first{};
    for (std::size_t length = 0, row = 0; length < first.size(); ++length) {
      while (row < kRows.size() && kRows[row].name.size() < length) ++row;
      first[length] = static_cast<std::uint8_t>(row);
    }
    return first;
  }();
  if (name.empty() || name.size() > kLongest) return std::nullopt;
  for (std::size_t row = kFirstOfLength[name.size()]; row < kFirstOfLength[name.size() + 1]; ++row)
    if (ascii_lower(name.front()) == kRows[row].name.front() && iequals(name, kRows[row].name)) return kRows[row].field;
  return std::nullopt;
}

std::string_view name_of(std::string_view field, std::size_t colon) {
  auto name = field.substr(0, colon);
  while (!name.empty() && is_space(static_cast<unsigned char>(name.back()))) name.remove_suffix(1);
  return name;
}

bool begins_field(std::string_view line) {
  const auto name = name_of(line, line.find(':'));
  return name.size() < line.size() && is_field_name(name);
}

std::pair<std::optional<KnownField>, std::string_view> known_value(std::string_view field) {
  const auto colon = field.find(':');
  return {known_field(name_of(field, colon)), field.substr(colon + 1)};
}

void note_message_field(MessageFields& fields, std::size_t number, std::string_view value) {
  if (fields.values[number].data() == nullptr)
    fields.values[number] = value;
  else
    fields.repeated |= 1U << number;
}

/// True where a message field may begin with this letter: the other lines of a header need no closer look.
bool may_be_message_field(char first) {
  constexpr auto kLetters = [] {
    std::uint32_t letters = 0;
    for (const char c : std::string_view("bcdfimrst")) letters |= 1U << (c - 'a');
    return letters;
  }();
  const auto letter = static_cast<unsigned>(static_cast<unsigned char>(first) | 0x20U) - 'a';
  return letter < 26 && (kLetters >> letter & 1U) != 0;
}

}  // namespace

bool find_message_fields(std::string_view text, MessageFields& fields) {
  fields = {};
  std::string_view field;  // up to here, where the last line began one that may be known
  const auto end_field = [&] {
    if (field.data() == nullptr) return;
    const auto [known, value] = known_value(field);
    if (known && static_cast<std::size_t>(*known) < kMessageFields)
      note_message_field(fields, static_cast<std::size_t>(*known), value);
    field = {};
  };
  for (std::size_t at = 0; at < text.size();) {
    const auto begin = at;
    const auto end = text.find('\n', begin);
    at = end == std::string_view::npos ? text.size() : end + 1;
    auto line = text.substr(begin, end == std::string_view::npos ? std::string_view::npos : end - begin);
    if (end != std::string_view::npos && line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) {
      end_field();
      return true;
    }
    if (is_space(static_cast<unsigned char>(line.front())) && begin != 0) {
      if (field.data() != nullptr) field = {field.data(), line.data() + line.size()};
    } else {
      end_field();
      if (may_be_message_field(line.front()) && begins_field(line)) field = line;
    }
  }
  end_field();
  return false;
}

TreeParser::TreeParser(std::string_view text, Tree& tree) : text_(text), tree_(tree) {
  tree_.text_ = text;
  tree_.parts_.clear();
  tree_.message_fields_.clear();
  tree_.oddities_.clear();
}

void TreeParser::odd(Oddity::Kind kind, std::uint32_t part, std::size_t offset) {
  if (tree_.oddities_.size() < kMaximumOddities) tree_.oddities_.push_back({kind, part, offset});
}

bool TreeParser::take_line() {
  line_ = at_;
  if (at_.offset == text_.size()) return false;
  const char* begin = text_.data() + at_.offset;
  const std::size_t left = text_.size() - at_.offset;
  const auto* end = static_cast<const char*>(std::memchr(begin, '\n', left));
  if (end == nullptr) {
    content_ = text_.substr(at_.offset);
    at_.offset = text_.size();
    return true;
  }
  auto length = static_cast<std::size_t>(end - begin);
  at_.offset += length + 1;
  ++at_.lines;
  if (length > 0 && begin[length - 1] == '\r') {
    --length;
  } else {
    ++at_.bare_lf;
  }
  content_ = std::string_view(begin, length);
  return true;
}

/// Before the line end that precedes this line: it belongs to the boundary.
TreeParser::Mark TreeParser::before_break() const {
  Mark mark = line_;
  if (mark.offset == 0) return mark;
  const bool bare = mark.offset < 2 || text_[mark.offset - 2] != '\r';
  mark.offset -= bare ? 1 : 2;
  mark.bare_lf -= bare ? 1 : 0;
  mark.lines -= 1;
  return mark;
}

std::uint32_t TreeParser::add_part(std::uint32_t parent, bool is_message) {
  const auto index = static_cast<std::uint32_t>(tree_.parts_.size());
  Part& part = tree_.parts_.emplace_back();
  part.is_message = is_message;
  if (is_message) {
    part.message_fields = static_cast<std::uint32_t>(tree_.message_fields_.size());
    tree_.message_fields_.emplace_back();
  }
  begin_extent(part.header, at_.offset, at_.lines, at_.bare_lf);
  begin_extent(part.body, at_.offset, at_.lines, at_.bare_lf);
  part.parent = parent;
  if (parent == kNoPart) return index;
  Part& above = tree_.parts_[parent];
  part.depth = static_cast<std::uint16_t>(above.depth + 1);
  if (above.first_child == kNoPart) above.first_child = index;
  ++above.children;
  return index;
}

void TreeParser::note_field(std::uint32_t index, std::string_view field) {
  const auto [known, value] = known_value(field);
  if (!known) return;
  Part& part = tree_.parts_[index];
  const auto number = static_cast<std::size_t>(*known);
  if (number >= kMessageFields) {
    auto& slot = part.mime_fields[number - kMessageFields];
    if (slot.data() == nullptr) {
      slot = value;
    } else {
      odd(Oddity::Kind::repeated_field, index, static_cast<std::size_t>(field.data() - text_.data()));
    }
    return;
  }
  if (part.is_message) note_message_field(tree_.message_fields_[part.message_fields], number, value);
}

std::optional<TreeParser::Delimiter> TreeParser::parse_part_header(std::uint32_t index) {
  std::size_t field_begin = std::string_view::npos;
  std::size_t field_end = 0;
  const auto end_field = [&] {
    if (field_begin != std::string_view::npos) note_field(index, text_.substr(field_begin, field_end - field_begin));
    field_begin = std::string_view::npos;
  };
  std::optional<Delimiter> found;
  bool first = true, ended = false;
  while (take_line()) {
    if (content_.empty()) {
      ended = true;
      break;
    }
    if (!open_.empty() && content_.starts_with("--") && (found = delimiter())) break;
    const auto line_end = static_cast<std::size_t>(content_.data() + content_.size() - text_.data());
    if (is_space(static_cast<unsigned char>(content_.front())) && !first) {
      field_end = line_end;
    } else {
      end_field();
      if (begins_field(content_)) {
        field_begin = line_.offset;
        field_end = line_end;
      } else {
        odd(first && content_.starts_with("From ") ? Oddity::Kind::mbox_from_line : Oddity::Kind::line_without_colon,
            index, line_.offset);
      }
    }
    first = false;
  }
  end_field();
  Part& part = tree_.parts_[index];
  const Mark& end = found ? line_ : at_;
  end_extent(part.header, end.offset, end.lines, end.bare_lf);
  begin_extent(part.body, end.offset, end.lines, end.bare_lf);
  if (!ended && part.header.octets() > 0) odd(Oddity::Kind::header_without_end, index, part.header.end);
  if (text_.substr(part.header.begin, part.header.octets()).find('\0') != std::string_view::npos)
    odd(Oddity::Kind::nul_in_header, index, part.header.begin);
  finish_header(index);
  return found;
}

void TreeParser::set_type(Part& part, std::uint32_t index) {
  const auto value = part.mime_fields[static_cast<std::size_t>(KnownField::content_type) - kMessageFields];
  const bool in_digest = part.parent != kNoPart && tree_.parts_[part.parent].kind == Part::Kind::multipart &&
                         iequals(tree_.parts_[part.parent].subtype, "digest");
  part.type = in_digest ? "message" : "text";
  part.subtype = in_digest ? "rfc822" : "plain";
  part.type_is_default = true;
  if (value.data() == nullptr) return;
  Cursor in(value);
  const auto skip_blanks = [&] {
    for (in.take_while(is_white); in.peek() == '('; in.take_while(is_white)) {
      in.take_while([](unsigned char c) { return c != ')'; });
      in.skip(1);
    }
  };
  const auto take_word = [&] {
    skip_blanks();
    const auto word = in.take_while([](unsigned char c) {
      return c > ' ' && c != 0x7F &&
             std::string_view(";/()\"=,:<>@[]?\\").find(static_cast<char>(c)) == std::string_view::npos;
    });
    skip_blanks();
    return word;
  };
  const auto type = take_word();
  std::string_view subtype;
  if (in.take('/')) subtype = take_word();
  if (!type.empty() && subtype.empty()) {
    if (iequals(type, "text")) subtype = "plain";
    if (iequals(type, "multipart")) subtype = "mixed";
  }
  if (type.empty() || subtype.empty()) return odd(Oddity::Kind::bad_content_type, index, part.header.begin);
  part.type = type;
  part.subtype = subtype;
  part.type_is_default = false;
}

void TreeParser::finish_header(std::uint32_t index) {
  Part& part = tree_.parts_[index];
  set_type(part, index);
  if (part.depth < kMaximumDepth && iequals(part.type, "multipart")) part.kind = Part::Kind::multipart;
  const auto encoding =
      part.mime_fields[static_cast<std::size_t>(KnownField::content_transfer_encoding) - kMessageFields];
  if (encoding.data() != nullptr) {
    part.encoding = parse_transfer_encoding(encoding);
    if (part.encoding == TransferEncoding::unknown) odd(Oddity::Kind::unknown_encoding, index, part.header.begin);
  }
}

std::string_view TreeParser::boundary_of(std::string_view content_type) {
  Cursor in(content_type);
  while (!in.at_end()) {
    in.take_while([](unsigned char c) { return c != ';' && c != '"' && c != '('; });
    if (in.peek() != ';') break;  // quotes or comments before it: the careful way below
    in.skip(1);
    in.take_while(is_white);
    if (!in.take_word("boundary")) continue;
    in.take_while(is_white);
    if (!in.take('=')) continue;
    in.take_while(is_white);
    if (in.take('"')) {
      const auto value = in.take_while([](unsigned char c) { return c != '"' && c != '\\' && c != '\r' && c != '\n'; });
      if (in.peek() == '"') return value;
      break;
    }
    const auto value = in.take_while([](unsigned char c) { return c != ';' && c != '(' && !is_white(c); });
    in.take_while(is_white);
    if (in.at_end() || in.peek() == ';') return value;
    break;
  }
  const auto found = parameter(content_type, "boundary");
  if (!found || found->empty()) return {};
  return owned_.emplace_back(*found);
}

/// Enters the body of a part whose header was read; goes down into messages within. Returns a delimiter that was met in
/// a header.
std::optional<TreeParser::Delimiter> TreeParser::open_part(std::uint32_t index) {
  for (;;) {
    current_ = index;
    Part& part = tree_.parts_[index];
    const bool multipart = iequals(part.type, "multipart");
    const bool message = part.is("message", "rfc822") || part.is("message", "global");
    if (!multipart && !message) return std::nullopt;
    if (part.depth >= kMaximumDepth) {
      part.too_deep = true;
      odd(Oddity::Kind::too_deep, index, part.header.begin);
      return std::nullopt;
    }
    if (multipart) {
      auto boundary =
          boundary_of(part.mime_fields[static_cast<std::size_t>(KnownField::content_type) - kMessageFields]);
      while (!boundary.empty() && is_white(static_cast<unsigned char>(boundary.back()))) boundary.remove_suffix(1);
      if (boundary.empty()) {
        odd(Oddity::Kind::no_boundary, index, part.header.begin);
      } else {
        open_.push_back({index, boundary});
      }
      return std::nullopt;
    }
    if (!is_identity(part.encoding)) {
      odd(Oddity::Kind::encoded_composite, index, part.header.begin);
      return std::nullopt;
    }
    if (tree_.parts_.size() >= kMaximumParts) {
      part.too_deep = true;
      odd(Oddity::Kind::too_many_parts, index, part.header.begin);
      return std::nullopt;
    }
    part.kind = Part::Kind::message;
    const auto child = add_part(index, true);
    const auto found = parse_part_header(child);
    if (found) {
      current_ = child;
      return found;
    }
    index = child;
  }
}

std::optional<TreeParser::Delimiter> TreeParser::delimiter() const {
  auto candidate = content_.substr(2);
  while (!candidate.empty() && is_white(static_cast<unsigned char>(candidate.back()))) candidate.remove_suffix(1);
  for (std::size_t level = open_.size(); level-- > 0;) {
    const auto boundary = open_[level].boundary;
    if (candidate.size() < boundary.size() || !candidate.starts_with(boundary)) continue;
    if (candidate.size() == boundary.size()) return Delimiter{level, false};
    if (candidate.size() == boundary.size() + 2 && candidate.ends_with("--")) return Delimiter{level, true};
  }
  // RFC 2046 section 5.1.1 lets more follow; what could be a longer boundary of someone else is not taken.
  for (std::size_t level = open_.size(); level-- > 0;) {
    const auto boundary = open_[level].boundary;
    if (candidate.size() <= boundary.size() || !candidate.starts_with(boundary)) continue;
    const auto after = candidate.substr(boundary.size());
    if (after.starts_with("--")) return Delimiter{level, true};
    if (is_space(static_cast<unsigned char>(after.front()))) return Delimiter{level, false};
  }
  return std::nullopt;
}

/// Ends the current part and those around it, up to `until`, which stays open. An empty line right before the boundary
/// ends a header and would begin the boundary too; it stays with the header, and so with all that the header is in.
void TreeParser::end_parts(std::uint32_t until, Mark end) {
  for (auto index = current_; index != until && index != kNoPart; index = tree_.parts_[index].parent) {
    auto& body = tree_.parts_[index].body;
    if (end.offset < body.begin) end = {body.begin, body.lines, body.bare_lf};
    end_extent(body, end.offset, end.lines, end.bare_lf);
  }
}

void TreeParser::on_delimiter(Delimiter found) {
  for (std::optional<Delimiter> next = found; next;) {
    const auto at = *next;
    next.reset();
    const auto multipart = open_[at.level].part;
    if (!at.closes && tree_.parts_.size() >= kMaximumParts) {
      odd(Oddity::Kind::too_many_parts, multipart, line_.offset);
      return;
    }
    end_parts(multipart, before_break());
    while (open_.size() > at.level + 1) {
      odd(open_.back().seen ? Oddity::Kind::boundary_not_closed : Oddity::Kind::boundary_never_seen, open_.back().part,
          line_.offset);
      open_.pop_back();
    }
    open_[at.level].seen = true;
    current_ = multipart;
    if (at.closes) {
      open_.pop_back();
      return;
    }
    const auto child = add_part(multipart, false);
    if (open_[at.level].last_child != kNoPart) tree_.parts_[open_[at.level].last_child].next_sibling = child;
    open_[at.level].last_child = child;
    current_ = child;
    next = parse_part_header(child);
    if (!next) next = open_part(child);
  }
}

void TreeParser::parse(bool header_only) {
  const auto root = add_part(kNoPart, true);
  parse_part_header(root);
  if (header_only) {
    end_parts(kNoPart, at_);
    return;
  }
  open_part(root);
  while (take_line())
    if (!open_.empty() && content_.starts_with("--"))
      if (const auto found = delimiter()) on_delimiter(*found);
  end_parts(kNoPart, at_);
  for (; !open_.empty(); open_.pop_back())
    odd(open_.back().seen ? Oddity::Kind::boundary_not_closed : Oddity::Kind::boundary_never_seen, open_.back().part,
        text_.size());
}

}  // namespace mail::message
