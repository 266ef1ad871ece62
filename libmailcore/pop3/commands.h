// The commands: one row and one function each. The dispatcher enforces and CAPA announces what the row says.
#pragma once
#include <span>

#include "pop3/server_session.h"

namespace mail::pop3 {

/// Where a command may be given.
enum : unsigned { kAuthorization = 1, kTransaction = 2 };

/// What follows the keyword.
enum class Grammar : unsigned char {
  none,
  text,     ///< one or more octets, blanks included
  message,  ///< the number of a message that is there and not deleted
  optional_message,
  message_and_lines,
  optional_word,
  optional_words,
};

struct Arguments {
  std::string_view words;
  std::optional<std::size_t> index;
  std::uint64_t lines = 0;
};

struct Command {
  std::string_view keyword;
  unsigned states;
  Grammar grammar;
  void (*run)(ServerSession&, const Arguments&);
  /// The line that CAPA shows for it; empty: none in this session's state. Null: the command is announced by nothing.
  std::string (*capability)(const ServerSession&) = nullptr;
};

std::span<const Command> commands();
const Command* find_command(std::string_view keyword);

}  // namespace mail::pop3
