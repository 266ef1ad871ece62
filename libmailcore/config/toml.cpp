#define TOML_HEADER_ONLY 1
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <algorithm>

#include "base/strings.h"
#include "config/document.h"

namespace mail::config {
namespace {

int line_of(const toml::node& node) { return static_cast<int>(node.source().begin.line); }

tl::expected<Node, Problem> convert(const toml::node& from, const std::string& file);

tl::expected<Node, Problem> convert_table(const toml::table& table, Node out) {
  Node::Section section;
  for (const auto& [key, value] : table) {
    auto node = convert(value, out.file);
    if (!node) return node;
    node->line = static_cast<int>(key.source().begin.line);  // of the key: a value may start lines further down
    section.push_back({std::string(key.str()), std::move(*node)});
  }
  std::ranges::stable_sort(section, {}, [](const NamedNode& entry) { return entry.node.line; });
  out.value = std::move(section);
  return out;
}

tl::expected<Node, Problem> convert(const toml::node& from, const std::string& file) {
  Node out{{}, file, line_of(from)};
  if (const auto* table = from.as_table()) return convert_table(*table, std::move(out));
  if (const auto* array = from.as_array()) {
    Node::List list;
    for (const auto& element : *array) {
      auto node = convert(element, file);
      if (!node) return node;
      list.push_back(std::move(*node));
    }
    out.value = std::move(list);
  } else if (const auto* text = from.as_string()) {
    out.value = text->get();
  } else if (const auto* number = from.as_integer()) {
    out.value = number->get();
  } else if (const auto* fraction = from.as_floating_point()) {
    out.value = fraction->get();
  } else if (const auto* truth = from.as_boolean()) {
    out.value = truth->get();
  } else {
    return tl::unexpected(Problem{file, out.line, "dates and times are not used here"});
  }
  return out;
}

}  // namespace

tl::expected<Node, Problem> parse_toml(std::string_view text, const std::string& file) {
  try {
    return convert(toml::parse(text, file), file);
  } catch (const toml::parse_error& error) {  // the library's only way to tell
    std::string message(error.description());
    message = message.substr(0, message.find('\n'));
    return tl::unexpected(Problem{file, static_cast<int>(error.source().begin.line), "not TOML: " + message});
  }
}

std::string what_it_is(const Node& node) {
  struct Say {
    std::string operator()(const std::string& v) const { return concat({"the text \"", printable(v), "\""}); }
    std::string operator()(std::int64_t v) const { return "the number " + decimal(v); }
    std::string operator()(double v) const { return "the number " + std::to_string(v); }
    std::string operator()(bool v) const { return v ? "true" : "false"; }
    std::string operator()(const Node::List&) const { return "a list"; }
    std::string operator()(const Node::Section&) const { return "a table"; }
  };
  return std::visit(Say{}, node.value);
}

}  // namespace mail::config
