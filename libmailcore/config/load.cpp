#include "config/load.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <tuple>

#include "base/strings.h"
#include "config/schema.h"

namespace mail::config {
namespace {

using Problems = std::vector<Problem>;

std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0U : 1U)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

/// "; did you mean smtp.listen?" or nothing where no known name is near.
std::string did_you_mean(std::string_view name) {
  std::string_view best;
  std::size_t least = std::max<std::size_t>(name.size() / 3, 2) + 1;
  for (const auto& row : schema()) {
    std::size_t far = distance(name, row.name);
    // The right key in the wrong section is a likely mistake too.
    const auto key = split_once(name, '.').second;
    if (!key.empty() && key == split_once(row.name, '.').second) far = std::min<std::size_t>(far, 2);
    if (far < least) least = far, best = row.name;
  }
  return best.empty() ? "" : concat({"; did you mean ", best, "?"});
}

std::string unknown_section(std::string_view name) {
  std::string_view best;
  std::size_t least = 3;
  for (const auto& row : schema()) {
    const auto section = row.name.substr(0, row.name.find('.'));
    if (const auto far = distance(name, section); far < least) least = far, best = section;
  }
  return concat({"unknown section [", printable(name), "]", best.empty() ? "" : "; did you mean [", best,
                 best.empty() ? "" : "]?"});
}

bool is_section(std::string_view name) {
  const auto start = concat({name, "."});
  return std::ranges::any_of(schema(), [&](const Row& row) { return row.name.starts_with(start); });
}

/// A text in the files whose row has a check, kept until all files are read.
struct Unchecked {
  const Row* row;
  std::string name;  ///< "relay.smart_host"; in a table `[relay.routes] "example.net"`.
  std::string text, file;
  int line;
};

struct Loading {
  Settings settings;
  Problems problems;
  std::vector<Unchecked> unchecked;
  bool inspecting = false;
};

/// Calls each(name, text, node) for the text that `node` is, or the texts in that list or table, or the tables of a
/// list.
void for_texts(const Node& node, const std::string& name, const std::string& prefix, const auto& each) {
  if (const auto* text = std::get_if<std::string>(&node.value)) each(name, *text, node);
  if (const auto* list = std::get_if<Node::List>(&node.value))
    for (const auto& element : *list) for_texts(element, name, prefix, each);
  if (const auto* section = std::get_if<Node::Section>(&node.value))
    for (const auto& [key, value] : *section) {
      const auto inner = concat({prefix, prefix.empty() ? "" : ".", to_lower(key)});
      if (const auto* text = std::get_if<std::string>(&value.value))
        each(concat({"[", name, "] \"", printable(inner), "\""}), *text, value);
      else
        for_texts(value, name, inner, each);
    }
}

void set(Loading& to, const Row& row, const Node& node) {
  if (auto complaint = row.assign(to.settings, node)) {
    to.problems.push_back({node.file, node.line, concat({row.name, " ", *complaint})});
    return;
  }
  for_texts(node, std::string(row.name), "", [&](const std::string& name, const std::string& text, const Node& at) {
    if (row.check != nullptr || row.inspect != nullptr) to.unchecked.push_back({&row, name, text, at.file, at.line});
    if (row.choices.empty() || std::ranges::find(row.choices, text) != row.choices.end()) return;
    std::string all;
    for (const auto& choice : row.choices) all += concat({all.empty() ? "" : ", ", "\"", choice, "\""});
    to.problems.push_back({at.file, at.line, concat({name, " must be one of ", all, ", not ", what_it_is(at)})});
  });
}

void apply(Loading& to, const Node::Section& section, const std::string& prefix) {
  for (const auto& [key, node] : section) {
    const auto name = prefix.empty() ? key : concat({prefix, ".", key});
    const auto row = std::ranges::find(schema(), name, &Row::name);
    const auto* inner = std::get_if<Node::Section>(&node.value);
    if (row != schema().end())
      set(to, *row, node);
    else if (inner != nullptr && is_section(name))
      apply(to, *inner, name);
    else if (is_section(name))
      to.problems.push_back({node.file, node.line, concat({"[", name, "] is a section, not a key"})});
    else if (inner != nullptr && prefix.empty())
      to.problems.push_back({node.file, node.line, unknown_section(name)});
    else
      to.problems.push_back({node.file, node.line, concat({"unknown key ", printable(name), did_you_mean(name)})});
  }
}

/// Files that files include; a file that includes itself is a mistake and not an endless loop.
constexpr int kMostIncludeDepth = 8;

void apply_file(Loading& to, const std::string& path, int depth);

/// `include = ["more.toml"]` at the top: those files are laid over this one. A path is relative to the file that names
/// it.
void apply_includes(Loading& to, const Node& include, int depth) {
  const Node::List one{include};
  const auto* list = std::get_if<Node::List>(&include.value);
  for (const auto& node : list != nullptr ? *list : one) {
    const auto* text = std::get_if<std::string>(&node.value);
    if (text == nullptr || text->empty()) {
      to.problems.push_back({include.file, include.line,
                             concat({"include must be a file name or a list of them, not ", what_it_is(node)})});
      continue;
    }
    if (depth >= kMostIncludeDepth) {
      to.problems.push_back({include.file, include.line, "files that include one another are nested too deep"});
      return;
    }
    const auto folder = include.file.substr(0, include.file.rfind('/') + 1);
    apply_file(to, text->front() == '/' ? *text : folder + *text, depth + 1);
  }
}

void apply_text(Loading& to, std::string_view text, const std::string& name, int depth = 0) {
  auto document = parse_toml(text, name);
  if (!document) {
    to.problems.push_back(document.error());
    return;
  }
  auto& section = std::get<Node::Section>(document->value);
  std::optional<Node> include;
  if (const auto found = std::ranges::find(section, "include", &NamedNode::name); found != section.end()) {
    include = std::move(found->node);
    section.erase(found);
  }
  apply(to, section, "");
  if (include) apply_includes(to, *include, depth);
}

void apply_file(Loading& to, const std::string& path, int depth) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (std::error_code ignored; std::filesystem::is_directory(path, ignored)) {
    to.problems.push_back({path, 0, "cannot be read: it is a directory"});
    return;
  }
  if (!file || !(text << file.rdbuf() || file.peek() == std::ifstream::traits_type::eof())) {
    to.problems.push_back({path, 0, concat({"cannot be read: ", std::strerror(errno)})});
    return;
  }
  apply_text(to, text.str(), path, depth);
}

tl::expected<Settings, Problems> finish(Loading loaded) {
  for (const auto& [row, name, text, file, line] : loaded.unchecked) {
    auto complaint = row->check == nullptr ? Complaint() : row->check(text, loaded.settings);
    if (!complaint && loaded.inspecting && row->inspect != nullptr) complaint = row->inspect(text, loaded.settings);
    if (complaint) loaded.problems.push_back({file, line, concat({name, " ", *complaint})});
  }
  if (!loaded.problems.empty()) return tl::unexpected(std::move(loaded.problems));
  return std::move(loaded.settings);
}

}  // namespace

std::string to_string(const Problem& problem) {
  if (problem.line == 0) return concat({problem.file, ": ", problem.message});
  return concat({problem.file, ":", decimal(problem.line), ": ", problem.message});
}

tl::expected<Settings, Problems> load(const std::vector<std::string>& paths) {
  Loading loaded;
  for (const auto& path : paths) apply_file(loaded, path, 0);
  return finish(std::move(loaded));
}

tl::expected<Settings, Problems> load_text(std::string_view toml, const std::string& name) {
  Loading loaded;
  apply_text(loaded, toml, name);
  return finish(std::move(loaded));
}

std::optional<Settings> load_or_complain(std::string_view program, std::vector<std::string> paths) {
  if (paths.empty() && access(std::string(kDefaultPath).c_str(), F_OK) == 0) paths.emplace_back(kDefaultPath);
  auto settings = load(paths);
  if (settings) return std::move(*settings);
  for (const auto& problem : settings.error())
    std::fprintf(stderr, "%s: %s\n", std::string(program).c_str(), to_string(problem).c_str());
  return std::nullopt;
}

std::vector<std::string> mistakes(const std::vector<std::string>& paths, const std::vector<FurtherCheck>& further) {
  Loading loaded;
  loaded.inspecting = true;
  for (const auto& path : paths) apply_file(loaded, path, 0);
  auto settings = finish(std::move(loaded));
  std::vector<std::string> lines;
  if (settings) {
    for (const auto& more : further) std::ranges::copy(more(*settings), std::back_inserter(lines));
    return lines;
  }
  auto& problems = settings.error();
  std::ranges::stable_sort(
      problems, [](const Problem& a, const Problem& b) { return std::tie(a.file, a.line) < std::tie(b.file, b.line); });
  for (const auto& problem : problems) lines.push_back(to_string(problem));
  return lines;
}

int check(const std::vector<std::string>& paths, const std::vector<FurtherCheck>& further) {
  const auto lines = mistakes(paths, further);
  for (const auto& line : lines) std::fprintf(stderr, "%s\n", line.c_str());
  if (!lines.empty()) return 78;  // EX_CONFIG
  for (const auto& file : paths) std::printf("%s: ok\n", file.c_str());
  return 0;
}

std::vector<KeyDescription> all_keys() {
  const Settings defaults;
  std::vector<KeyDescription> keys;
  for (const auto& row : schema()) {
    std::string kind(row.kind);
    if (!row.choices.empty()) {
      const std::string start = kind.starts_with("list") ? "list of " : "";
      kind.clear();
      for (const auto& choice : row.choices) kind += concat({kind.empty() ? start : ", ", choice});
    }
    keys.push_back({std::string(row.name), kind, row.print(defaults), std::string(row.description)});
  }
  return keys;
}

std::string sample() {
  std::string out = "# relais.toml: every key with its default. See relais.toml(5).\n";
  std::string section;
  for (const auto& key : all_keys()) {
    const auto [in, name] = split_once(key.name, '.');
    if (in != section) out += concat({"\n[", section = in, "]\n"});
    if (key.kind == "tables") {
      out += concat({"# ", key.description, "\n"});
    } else if (key.kind == "table") {
      out += concat({"# ", key.description, " Written in a section of its own, [", key.name, "].\n"});
    } else {
      out += concat({"# ", key.description, "\n#", name, " = ", key.default_value, "\n"});
    }
  }
  return out;
}

std::string host_name(const Settings& settings) {
  if (!settings.host.name.empty()) return settings.host.name;
  char name[256] = "";
  if (gethostname(name, sizeof name - 1) != 0 || name[0] == '\0') return "localhost";
  return name;
}

Strings local_domains(const Settings& settings) {
  Strings out;
  for (const auto& domain : settings.host.domains) out.push_back(to_lower(domain));
  if (out.empty()) out.push_back(to_lower(host_name(settings)));
  return out;
}

}  // namespace mail::config
