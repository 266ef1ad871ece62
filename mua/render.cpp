#include "mua/render.h"

#include <algorithm>

#include "base/strings.h"
#include "message/charset.h"
#include "message/encoded_word.h"
#include "message/header.h"
#include "message/html_text.h"
#include "message/parameters.h"
#include "message/search_text.h"
#include "mua/text.h"

namespace mail::mua {

using message::KnownField;
using message::Part;
using message::Tree;

namespace {

bool is_attachment(const Tree& tree, const Part& part) {
  const auto disposition = tree.field(part, KnownField::content_disposition);
  return disposition && iequals(message::parse_parameterized(*disposition).value, "attachment");
}

std::string name_of(const Tree& tree, const Part& part) {
  return message::file_name(tree.field(part, KnownField::content_disposition),
                            tree.field(part, KnownField::content_type))
      .value_or("");
}

/// The number by which a part is fetched: a message that is not multipart is its own part 1.
std::string number_of(const Tree& tree, const Part& part) {
  auto number = tree.number(part);
  if (part.is_message && part.kind != Part::Kind::multipart) number += number.empty() ? "1" : ".1";
  return number;
}

std::string field_line(const Tree& tree, const Part& message, KnownField field, std::string_view label) {
  const auto value = tree.field(message, field);
  if (!value) return {};
  return concat({label, ": ", message::decode_header_text(*value), "\n"});
}

/// Writes parts one after another; of alternatives the plainest that can be read.
class Renderer {
 public:
  Renderer(const Tree& tree, bool with_headers) : tree_(tree), with_headers_(with_headers) {}

  std::string run() {
    part(tree_.root());
    return std::move(out_);
  }

 private:
  void header(const Part& message) {
    for (const auto& [field, label] :
         {std::pair{KnownField::from, "From"}, std::pair{KnownField::to, "To"}, std::pair{KnownField::cc, "Cc"},
          std::pair{KnownField::date, "Date"}, std::pair{KnownField::subject, "Subject"}})
      out_ += field_line(tree_, message, field, label);
    out_ += '\n';
  }

  void part(const Part& part) {
    if (part.is_message && with_headers_) header(part);
    if (part.kind == Part::Kind::multipart && part.first_child != message::kNoPart) {
      if (iequals(part.subtype, "alternative")) return alternative(part);
      for (auto child = part.first_child; child != message::kNoPart; child = tree_[child].next_sibling)
        this->part(tree_[child]);
    } else if (part.kind == Part::Kind::message) {
      if (!with_headers_) return;
      note(part);
      this->part(tree_[part.first_child]);
    } else if ((part.is_text() || part.kind == Part::Kind::multipart) && !is_attachment(tree_, part)) {
      text(part);
    } else if (with_headers_) {
      note(part);
    }
  }

  void alternative(const Part& multipart) {
    const Part* chosen = nullptr;
    int best = -1;
    for (auto child = multipart.first_child; child != message::kNoPart; child = tree_[child].next_sibling) {
      const auto& candidate = tree_[child];
      const int rank = candidate.is("text", "plain")             ? 3
                       : candidate.kind == Part::Kind::multipart ? 2
                       : candidate.is("text", "html")            ? 1
                                                                 : 0;
      if (rank > best) best = rank, chosen = &candidate;
    }
    part(*chosen);
  }

  void text(const Part& part) {
    auto content = message::decoded_text(tree_, part);
    if (iequals(part.subtype, "html")) content = message::html_to_text(content);
    out_ += replace_all(content, "\r\n", "\n");
    if (!out_.empty() && !out_.ends_with('\n')) out_ += '\n';
  }

  void note(const Part& part) {
    const auto name = name_of(tree_, part);
    out_ += concat({"\n[part ", number_of(tree_, part), ": ", to_lower(part.type), "/", to_lower(part.subtype),
                    name.empty() ? "" : ", \"", name, name.empty() ? "" : "\"", ", ", decimal(part.body.octets()),
                    " octets]\n"});
  }

  const Tree& tree_;
  bool with_headers_;
  std::string out_;
};

}  // namespace

std::string render_message(const Tree& tree) { return Renderer(tree, true).run(); }
std::string render_text(const Tree& tree) { return Renderer(tree, false).run(); }

std::vector<Leaf> leaves(const Tree& tree) {
  std::vector<Leaf> out;
  for (const auto& part : tree.parts()) {
    if (part.kind == Part::Kind::multipart && part.first_child != message::kNoPart) continue;
    if (part.is_message && part.kind != Part::Kind::leaf) continue;
    Leaf leaf;
    leaf.number = number_of(tree, part);
    leaf.type = to_lower(concat({part.type, "/", part.subtype}));
    leaf.file_name = name_of(tree, part);
    leaf.attachment = is_attachment(tree, part) || !leaf.file_name.empty();
    leaf.part = &part;
    out.push_back(std::move(leaf));
  }
  return out;
}

std::string addresses_json(const std::vector<message::Address>& addresses) {
  std::vector<std::string> out;
  for (const auto& address : addresses)
    out.push_back(Json::object({{"name", Json::string(message::decode_header_text(address.display_name))},
                                {"address", Json::string(message::addr_spec(address))}}));
  return Json::array(out);
}

namespace {
std::string flags_json(const Item& item) {
  std::vector<std::string> flags;
  for (const auto& flag : item.flags) flags.push_back(Json::string(flag));
  return Json::array(flags);
}
std::string fields_json(const Tree& tree) {
  std::vector<std::string> fields;
  for (const auto& field : message::HeaderFields(tree.header(tree.root())))
    if (!field.name.empty())
      fields.push_back(Json::object(
          {{"name", Json::string(field.name)}, {"value", Json::string(message::decode_header_text(field.value))}}));
  return Json::array(fields);
}
std::string date_json(const Item& item) {
  return item.date ? Json::string(message::format_iso8601(*item.date)) : "null";
}
}  // namespace

std::string item_json(const Item& item) {
  return Json::object({{"id", decimal(item.id)},
                       {"flags", flags_json(item)},
                       {"date", date_json(item)},
                       {"from", addresses_json(item.from)},
                       {"to", addresses_json(item.to)},
                       {"cc", addresses_json(item.cc)},
                       {"subject", Json::string(item.subject)},
                       {"message_id", Json::string(item.message_id)},
                       {"octets", decimal(item.octets)}});
}

std::string header_json(const Tree& tree, std::uint32_t id) {
  return Json::object({{"id", decimal(id)}, {"header_fields", fields_json(tree)}});
}

std::string octets_json(std::string_view octets, std::uint32_t id, std::string_view part) {
  std::vector<std::string> members;
  if (id != 0) members.push_back("\"id\": " + decimal(id));
  if (!part.empty()) members.push_back("\"part\": " + Json::string(part));
  const bool text = is_utf8(octets) && octets.find('\0') == std::string_view::npos;
  members.push_back(text ? "\"content\": " + Json::string(octets) : "\"base64\": " + Json::string(to_base64(octets)));
  return concat({"{", join(members, ", "), "}"});
}

std::string message_json(const Tree& tree, const Item& item) {
  std::vector<std::string> parts;
  for (const auto& leaf : leaves(tree))
    parts.push_back(Json::object({{"number", Json::string(leaf.number)},
                                  {"type", Json::string(leaf.type)},
                                  {"file_name", leaf.file_name.empty() ? "null" : Json::string(leaf.file_name)},
                                  {"octets", decimal(leaf.part->body.octets())}}));
  auto out = item_json(item);
  out.back() = ',';
  return concat({out, " ",
                 std::string_view(Json::object({{"header_fields", fields_json(tree)},
                                                {"text", Json::string(render_text(tree))},
                                                {"parts", Json::array(parts)}}))
                     .substr(1)});
}

std::string item_line(const Item& item, std::size_t columns, std::size_t indent) {
  std::string marks;
  marks += item.has("seen") ? ' ' : 'N';
  marks += item.has("answered") ? 'A' : ' ';
  marks += item.has("flagged") ? 'F' : ' ';
  marks += item.has("deleted") ? 'D' : ' ';
  std::string sender;
  if (!item.from.empty()) {
    sender = message::decode_header_text(item.from.front().display_name);
    if (sender.empty()) sender = message::addr_spec(item.from.front());
  }
  const auto date = item.date ? message::format_iso8601(message::local_time(item.date->time)) : std::string();
  auto id = decimal(item.id);
  if (id.size() < 5) id.insert(0, 5 - id.size(), ' ');
  constexpr std::size_t kSenderColumns = 22;
  std::string who(message::clip_columns(printable(sender), kSenderColumns));
  who.append(kSenderColumns - std::min(kSenderColumns, message::display_columns(who)), ' ');
  auto line =
      concat({id, " ", marks, " ", date.empty() ? "                " : replace_all(date.substr(0, 16), "T", " "), "  ",
              who, "  ", std::string(indent * 2, ' '), printable(item.subject)});
  return std::string(message::clip_columns(line, columns)) + "\n";
}

}  // namespace mail::mua
