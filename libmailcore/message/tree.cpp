#include "message/tree.h"

#include <algorithm>

#include "base/cursor.h"
#include "base/strings.h"
#include "message/tree_parser.h"

namespace mail::message {

bool Part::is(std::string_view type_name, std::string_view subtype_name) const {
  return iequals(type, type_name) && iequals(subtype, subtype_name);
}
bool Part::is_text() const { return iequals(type, "text"); }

Tree parse(std::string_view text) {
  Tree tree;
  parse(text, tree);
  return tree;
}
void parse(std::string_view text, Tree& tree) { TreeParser(text, tree).parse(false); }
void parse_header(std::string_view text, Tree& tree) { TreeParser(text, tree).parse(true); }

std::optional<std::string_view> Tree::field(const Part& part, KnownField field) const {
  const auto number = static_cast<std::size_t>(field);
  std::string_view value;
  if (number >= kMessageFields) {
    value = part.mime_fields[number - kMessageFields];
  } else if (part.message_fields != kNoPart) {
    value = message_fields_[part.message_fields].values[number];
  }
  return value.data() == nullptr ? std::nullopt : std::optional(value);
}

const MessageFields& Tree::fields(const Part& message) const {
  static const MessageFields kNone{};
  return message.message_fields == kNoPart ? kNone : message_fields_[message.message_fields];
}

const Part* Tree::find(std::string_view number) const {
  const Part* part = &root();
  if (number.empty()) return part;
  bool in_message = true;  // `part` is a message whose body parts are counted, not yet a body part itself
  Cursor in(number);
  for (;;) {
    const auto wanted = in.take_decimal<std::uint32_t>();
    if (!wanted || *wanted == 0) return nullptr;
    if (!in_message && part->kind == Part::Kind::message) {
      part = &parts_[part->first_child];
      in_message = true;
    }
    if (part->kind == Part::Kind::multipart) {
      if (*wanted > part->children) return nullptr;
      auto child = part->first_child;
      for (std::uint32_t i = 1; i < *wanted; ++i) child = parts_[child].next_sibling;
      part = &parts_[child];
    } else if (!in_message || *wanted != 1) {
      return nullptr;
    }
    in_message = false;
    if (in.at_end()) return part;
    if (!in.take('.')) return nullptr;
  }
}

std::string Tree::number(const Part& part) const {
  std::string out;
  auto at = index(part);
  while (parts_[at].parent != kNoPart) {
    const Part& parent = parts_[parts_[at].parent];
    if (parent.kind == Part::Kind::multipart) {
      std::uint32_t position = 1;
      for (auto child = parent.first_child; child != at; child = parts_[child].next_sibling) ++position;
      out.insert(0, out.empty() ? decimal(position) : decimal(position) + ".");
    }
    // A message that is not multipart is its own part 1, also where it is the message within another.
    if (parent.kind == Part::Kind::message && !parent.is_message) {
      at = parts_[at].parent;
      continue;
    }
    if (parent.kind == Part::Kind::message) out.insert(0, out.empty() ? "1" : "1.");
    at = parts_[at].parent;
  }
  return out;
}

std::string_view name(Oddity::Kind kind) {
  static constexpr std::array<std::string_view, 13> kNames{
      "mbox_from_line",   "line_without_colon", "header_without_end",  "nul_in_header",       "repeated_field",
      "bad_content_type", "no_boundary",        "boundary_never_seen", "boundary_not_closed", "encoded_composite",
      "unknown_encoding", "too_deep",           "too_many_parts",
  };
  return kNames[static_cast<std::size_t>(kind)];
}

namespace {
std::string to_string(const Extent& extent) {
  return concat({decimal(extent.begin), "+", decimal(extent.octets()), " crlf ", decimal(extent.crlf_octets()),
                 " lines ", decimal(extent.lines)});
}
}  // namespace

std::string to_string(const Tree& tree) {
  std::string out;
  for (const auto& part : tree.parts()) {
    const auto number = tree.number(part);
    out +=
        concat({std::string(part.depth * 2U, ' '), number.empty() ? "-" : number, part.is_message ? " message " : " ",
                to_lower(part.type), "/", to_lower(part.subtype), " ", name(part.encoding), " header ",
                to_string(part.header), " body ", to_string(part.body), part.too_deep ? " too-deep\n" : "\n"});
  }
  for (const auto& oddity : tree.oddities())
    out += concat({"odd: ", name(oddity.kind), " part ", decimal(oddity.part), " at ", decimal(oddity.offset), "\n"});
  return out;
}

}  // namespace mail::message
