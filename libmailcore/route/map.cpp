#include "route/map.h"

#include <atomic>
#include <mutex>
#include <unordered_map>

#include "base/log.h"
#include "base/logical_lines.h"
#include "base/strings.h"
#include "directory/watched_file.h"
#include "route/sqlite_map.h"

namespace mail::route {
namespace {

struct Hash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};
using Table = std::unordered_map<std::string, std::string, Hash, std::equal_to<>>;

class FileMap final : public Map {
 public:
  FileMap(const std::string& path, EntryCheck check, const Clock& clock)
      : check_(std::move(check)), clock_(clock), file_(path, [this](std::string_view text) { return parse(text); }) {}

  Result<std::optional<std::string>> find(std::string_view key) const override {
    look();
    if (!file_.loaded()) return fail(Error::Kind::temporary, concat({file_.path(), ": cannot be used: ", problem()}));
    const auto table = file_.table();
    const auto found = table->find(key);
    return found == table->end() ? std::nullopt : std::optional(found->second);
  }

  Status reload() override { return refresh(); }

  std::vector<std::string> problems() const override {
    const auto text = read_file_at(file_.path(), directory::kMostFileOctets);
    if (!text) return {text.error().text};
    return complaints(*text);
  }

  const std::string& name() const override { return file_.path(); }

 private:
  std::vector<std::string> complaints(std::string_view text) const {
    std::vector<std::string> out;
    Table seen;
    const auto at = [this](int line) { return concat({file_.path(), ":", decimal(line), ": "}); };
    for (const auto& [line, key, value] : parse_map_file(text)) {
      if (value.empty())
        out.push_back(concat({at(line), "\"", printable(key), "\" has no value; an entry is `key value`"}));
      else if (const auto complaint = check_(key, value))
        out.push_back(concat({at(line), "\"", printable(key), "\" ", *complaint}));
      else if (!seen.try_emplace(key, value).second)
        out.push_back(concat({at(line), "\"", printable(key), "\" stands in the file twice"}));
    }
    return out;
  }

  Result<Table> parse(std::string_view text) const {
    if (const auto wrong = complaints(text); !wrong.empty()) return fail(Error::Kind::syntax, join(wrong, "; "));
    Table table;
    for (auto& [line, key, value] : parse_map_file(text)) table.try_emplace(std::move(key), std::move(value));
    return table;
  }

  /// Looks at the file once a second at most, by one thread; the others go on with what is there.
  void look() const {
    const auto now = clock_.steady().time_since_epoch().count();
    auto due = next_look_.load(std::memory_order_relaxed);
    if (now < due) return;
    const auto next = now + std::chrono::duration_cast<SteadyTime::duration>(std::chrono::seconds(1)).count();
    if (next_look_.compare_exchange_strong(due, next)) (void)refresh();
  }

  Status refresh() const {
    const std::scoped_lock lock(refreshing_);
    auto status = file_.refresh();
    const std::string text = status ? "" : status.error().text;
    if (status && file_.loaded()) problem_.clear();
    if (!text.empty() && text != problem_) {  // told once, not every second
      problem_ = text;
      log_event(LogLevel::error, "map-problem",
                {{"map", file_.path()}, {"text", text}, {"in_use", file_.loaded() ? "what was read before" : "none"}});
    }
    return status;
  }

  std::string problem() const {
    const std::scoped_lock lock(refreshing_);
    return problem_;
  }

  EntryCheck check_;
  const Clock& clock_;
  mutable directory::WatchedFile<Table> file_;
  mutable std::mutex refreshing_;
  mutable std::string problem_;
  mutable std::atomic<SteadyTime::rep> next_look_{0};
};

class InlineMap final : public Map {
 public:
  InlineMap(std::string name, config::Table table) : name_(std::move(name)), table_(std::move(table)) {}
  Result<std::optional<std::string>> find(std::string_view key) const override {
    const auto found = table_.find(std::string(key));
    return found == table_.end() ? std::nullopt : std::optional(found->second);
  }
  Status reload() override { return {}; }
  std::vector<std::string> problems() const override { return {}; }
  const std::string& name() const override { return name_; }

 private:
  std::string name_;
  config::Table table_;
};

}  // namespace

std::vector<MapEntry> parse_map_file(std::string_view file) {
  std::vector<MapEntry> entries;
  for (const auto& [number, text] : logical_lines(file, ' ')) {
    const std::string_view content = text;
    // "a key" with blanks in it stands in quotes, as in Postfix.
    std::size_t end = 0;
    bool quoted = false;
    for (; end < content.size() && (quoted || !is_space(static_cast<unsigned char>(content[end]))); ++end)
      if (content[end] == '"') quoted = !quoted;
    auto key = to_lower(content.substr(0, end));
    if (key.size() > 2 && key.front() == '"' && key.back() == '"') key = key.substr(1, key.size() - 2);
    entries.push_back({number, std::move(key), std::string(trim(content.substr(end)))});
  }
  return entries;
}

std::unique_ptr<Map> open_map(const std::string& specification, EntryCheck check, const Clock& clock) {
  if (istarts_with(specification, "sqlite:")) return sqlite_map(specification, std::move(check), clock);
  // Postfix's names for the same file: what they were made from.
  std::string path = specification;
  for (const std::string_view type : {"file:", "texthash:", "hash:", "lmdb:"})
    if (istarts_with(path, type)) path.erase(0, type.size());
  return std::make_unique<FileMap>(path, std::move(check), clock);
}

std::unique_ptr<Map> inline_map(std::string name, config::Table table) {
  return std::make_unique<InlineMap>(std::move(name), std::move(table));
}

void Maps::add(const config::Strings& specifications, const EntryCheck& check, const Clock& clock) {
  for (const auto& specification : specifications)
    if (!specification.empty()) add(open_map(specification, check, clock));
}

Result<std::optional<Hit>> Maps::find(std::string_view key) const {
  for (const auto& map : maps_) {
    MAIL_TRY(value, map->find(key));
    if (value) return std::optional(Hit{std::move(*value), concat({map->name(), ": ", key})});
  }
  return std::optional<Hit>();
}

void Maps::reload() {
  for (const auto& map : maps_) (void)map->reload();  // each has told its own mistakes
}

void Maps::problems(std::vector<std::string>& to) const {
  for (const auto& map : maps_)
    for (auto& problem : map->problems()) to.push_back(std::move(problem));
}

Result<std::optional<AddressHit>> find_address(const Maps& maps, std::string_view name, std::string_view domain,
                                               std::string_view delimiter, bool bare) {
  const auto cut = delimiter.empty() ? std::string_view::npos : name.find_first_of(delimiter, 1);
  const auto base = name.substr(0, cut);
  const auto try_key = [&](std::string_view key, bool whole) -> Result<std::optional<AddressHit>> {
    MAIL_TRY(hit, maps.find(key));
    if (!hit) return std::optional<AddressHit>();
    const auto extension = whole || cut == std::string_view::npos ? std::string_view() : name.substr(cut);
    return std::optional(AddressHit{std::move(hit->value), std::move(hit->rule), std::string(extension)});
  };
  for (const bool whole : {true, false}) {
    const auto user = whole ? name : base;
    if (!whole && cut == std::string_view::npos) break;
    MAIL_TRY(hit, try_key(concat({user, "@", domain}), whole));
    if (hit) return std::move(hit);
    if (!bare) continue;
    MAIL_TRY(alone, try_key(user, whole));
    if (alone) return std::move(alone);
  }
  return std::optional<AddressHit>();
}

std::string with_extension(std::string address, std::string_view extension) {
  const auto at = address.rfind('@');
  if (extension.empty() || at == 0 || address.substr(0, at).find(extension.front()) != std::string::npos)
    return address;
  return address.insert(at == std::string::npos ? address.size() : at, extension);
}

}  // namespace mail::route
