// What a TOML file holds, free of the TOML library: only toml.cpp meets that one.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <variant>
#include <vector>

#include "config/load.h"

namespace mail::config {

struct NamedNode;

struct Node {
  using List = std::vector<Node>;
  using Section = std::vector<NamedNode>;  ///< In the order of the file's lines.
  std::variant<std::string, std::int64_t, double, bool, List, Section> value;
  std::string file;
  int line = 0;
};

/// One key of a table.
struct NamedNode {
  std::string name;
  Node node;
};

/// "the number 5", "the text \"x\"", "a list"…: for messages.
std::string what_it_is(const Node& node);

/// The document, or where its grammar is wrong.
tl::expected<Node, Problem> parse_toml(std::string_view text, const std::string& file);

}  // namespace mail::config
