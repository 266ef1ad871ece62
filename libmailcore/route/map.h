// Look-up tables that an operator keeps: `key value` lines in a file, a query in SQLite, or a table of relais.toml.
// They are read again when they change, without a restart. Thread-safe.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "config/values.h"

namespace mail::route {

/// A value, and where it stands: for `mta explain` and the log.
struct Hit {
  std::string value;
  std::string rule;  ///< `/etc/relais/transport: example.net`
};

/// Says what is wrong with an entry, as the end of a sentence that names the key; nothing where it is right.
using EntryCheck = std::function<std::optional<std::string>(std::string_view key, std::string_view value)>;

class Map {
 public:
  virtual ~Map() = default;
  /// The value of a key (lower case). @return temporary where the map cannot be read now, and was not read before.
  virtual Result<std::optional<std::string>> find(std::string_view key) const = 0;
  /// Looks for changes now. On an error what was read before stays in use.
  virtual Status reload() = 0;
  /// All mistakes, "FILE:LINE: what", for --check.
  virtual std::vector<std::string> problems() const = 0;
  virtual const std::string& name() const = 0;
};

/// "FILE" (Postfix's `key value` lines) or "sqlite:FILE QUERY"; see relais.toml(5), MAPS. Nothing is read yet.
std::unique_ptr<Map> open_map(const std::string& specification, EntryCheck check, const Clock& clock = Clock::system());
/// [relay.routes] and its like.
std::unique_ptr<Map> inline_map(std::string name, config::Table table);

/// Several maps, the first hit counts.
class Maps {
 public:
  void add(std::unique_ptr<Map> map) { maps_.push_back(std::move(map)); }
  void add(const config::Strings& specifications, const EntryCheck& check, const Clock& clock = Clock::system());
  bool empty() const { return maps_.empty(); }
  Result<std::optional<Hit>> find(std::string_view key) const;
  void reload();
  void problems(std::vector<std::string>& to) const;

 private:
  std::vector<std::unique_ptr<Map>> maps_;
};

/// What find_address() found. `extension`: the "+detail" that was cut off to find it, to go on in the result.
struct AddressHit {
  std::string value, rule, extension;
};
/// Looks for "name+detail@domain", then "name@domain"; with `bare` also for the names alone (of local users).
/// @param name  the local part without quotes, lower case
Result<std::optional<AddressHit>> find_address(const Maps& maps, std::string_view name, std::string_view domain,
                                               std::string_view delimiter, bool bare);
/// `address` with the extension in front of its '@', unless it has one.
std::string with_extension(std::string address, std::string_view extension);

/// One logical line of a map file: `key value`, continued by lines that begin with a blank (postmap(1)).
struct MapEntry {
  int line = 0;
  std::string key;  ///< Lower case.
  std::string value;
};
/// All entries in order; a line without a value has an empty one.
std::vector<MapEntry> parse_map_file(std::string_view file);

}  // namespace mail::route
