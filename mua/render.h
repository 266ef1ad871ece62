// A message as people read it, as text or JSON.
#pragma once
#include <string>
#include <string_view>

#include "message/tree.h"
#include "mua/source.h"

namespace mail::mua {

/// Header and text; HTML as text; what else there is in brackets. Not yet safe for a terminal: for_terminal().
std::string render_message(const message::Tree& tree);
/// Only the text for people, as a reply quotes it.
std::string render_text(const message::Tree& tree);
std::string message_json(const message::Tree& tree, const Item& item);
/// The header fields alone, decoded.
std::string header_json(const message::Tree& tree, std::uint32_t id);
/// A message or a part as it is: in "content" where that is UTF-8 without NUL, else in "base64". An id of 0 and an
/// empty part are left out.
std::string octets_json(std::string_view octets, std::uint32_t id = 0, std::string_view part = {});

std::string item_json(const Item& item);
/// One line of a list: id, flags, date, sender and subject within `columns`.
std::string item_line(const Item& item, std::size_t columns, std::size_t indent = 0);
std::string addresses_json(const std::vector<message::Address>& addresses);

/// A leaf that is to be saved, with the number by which --part names it.
struct Leaf {
  std::string number;
  std::string type;
  std::string file_name;  ///< As the sender wrote it; empty where there is none.
  bool attachment = false;
  const message::Part* part = nullptr;
};
std::vector<Leaf> leaves(const message::Tree& tree);

}  // namespace mail::mua
