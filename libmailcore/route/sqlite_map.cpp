#include "route/sqlite_map.h"

#include <sqlite3.h>
#include <sys/stat.h>

#include <mutex>
#include <unordered_map>

#include "base/freed.h"
#include "base/log.h"
#include "base/strings.h"

namespace mail::route {
namespace {

using Database = std::unique_ptr<sqlite3, Freed<sqlite3_close_v2>>;
using Statement = std::unique_ptr<sqlite3_stmt, Freed<sqlite3_finalize>>;

constexpr int kBusyMilliseconds = 500;          // a writer's transaction; longer ones defer the mail
constexpr std::size_t kMostRemembered = 20000;  // answers

class SqliteMap final : public Map {
 public:
  SqliteMap(const std::string& specification, EntryCheck check, const Clock& clock)
      : check_(std::move(check)), clock_(clock) {
    const auto rest = trim(std::string_view(specification).substr(std::string_view("sqlite:").size()));
    const auto blank = rest.find_first_of(" \t");
    path_ = rest.substr(0, blank);
    if (blank != std::string_view::npos) query_ = trim(rest.substr(blank));
    name_ = "sqlite:" + path_;
  }

  Result<std::optional<std::string>> find(std::string_view key) const override {
    const std::scoped_lock lock(mutex_);
    if (const auto ready = look(); !ready) return tell(ready.error());
    if (const auto known = remembered_.find(std::string(key)); known != remembered_.end()) return known->second;
    auto value = ask(key);
    if (!value) {
      close();
      return tell(value.error());
    }
    if (*value)
      if (const auto complaint = check_(key, **value))
        return tell({Error::Kind::temporary, concat({name_, ": \"", printable(key), "\" ", *complaint}), 0});
    problem_.clear();
    if (remembered_.size() >= kMostRemembered) remembered_.clear();
    remembered_.emplace(key, *value);
    return *value;
  }

  Status reload() override {
    const std::scoped_lock lock(mutex_);
    close();
    next_look_ = {};
    return {};
  }

  std::vector<std::string> problems() const override {
    const std::scoped_lock lock(mutex_);
    if (const auto opened = open(); !opened) return {opened.error().text};
    return {};
  }

  const std::string& name() const override { return name_; }

 private:
  Status open() const {
    if (!path_.starts_with('/') || query_.empty())
      return fail(Error::Kind::syntax,
                  concat({name_, ": a map in SQLite is \"sqlite:/absolute/path SELECT ... WHERE ... = :key\""}));
    struct stat status {};
    if (stat(path_.c_str(), &status) != 0) return fail_errno("stat", path_);
    sqlite3* opened = nullptr;
    const int code = sqlite3_open_v2(path_.c_str(), &opened, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, nullptr);
    Database database(opened);
    if (code != SQLITE_OK) return fail(Error::Kind::temporary, concat({name_, ": ", sqlite3_errstr(code)}));
    sqlite3_busy_timeout(database.get(), kBusyMilliseconds);
    MAIL_TRY(query, prepare(database.get(), query_));
    if (sqlite3_column_count(query.get()) != 1 || sqlite3_stmt_readonly(query.get()) == 0)
      return fail(Error::Kind::syntax, concat({name_, ": the query must be a SELECT of one column"}));
    for (int i = 1; i <= sqlite3_bind_parameter_count(query.get()); ++i) {
      const auto* parameter = sqlite3_bind_parameter_name(query.get(), i);
      const std::string_view word = parameter == nullptr ? ":key" : parameter;
      if (word != ":key" && word != ":user" && word != ":domain")
        return fail(Error::Kind::syntax, concat({name_, ": the query has the parameter ", printable(word),
                                                 "; :key, :user and :domain are known"}));
    }
    MAIL_TRY(version, prepare(database.get(), "PRAGMA data_version"));
    MAIL_TRY(current, step_number(version.get()));
    query_statement_ = std::move(query);
    version_statement_ = std::move(version);
    database_ = std::move(database);
    version_ = current;
    inode_ = status.st_ino;
    return {};
  }

  void close() const {
    query_statement_.reset();
    version_statement_.reset();
    database_.reset();
    remembered_.clear();
  }

  /// Once a second: is it the same file still, and has somebody written to it?
  Status look() const {
    const auto now = clock_.steady();
    if (database_ && now < next_look_) return {};
    if (!database_ && now < next_look_) return fail(Error::Kind::temporary, problem_);
    next_look_ = now + std::chrono::seconds(1);
    struct stat status {};
    if (database_ && (stat(path_.c_str(), &status) != 0 || status.st_ino != inode_)) close();
    if (!database_) return open();
    const auto version = step_number(version_statement_.get());
    if (!version) {
      close();
      return tl::unexpected(version.error());
    }
    if (*version != version_) remembered_.clear();
    version_ = *version;
    return {};
  }

  Result<Statement> prepare(sqlite3* database, const std::string& sql) const {
    sqlite3_stmt* statement = nullptr;
    const int code = sqlite3_prepare_v2(database, sql.c_str(), static_cast<int>(sql.size()), &statement, nullptr);
    if (code != SQLITE_OK)
      return fail(code == SQLITE_ERROR ? Error::Kind::syntax : Error::Kind::temporary,
                  concat({name_, ": ", sqlite3_errmsg(database)}));
    return Statement(statement);
  }

  Result<std::int64_t> step_number(sqlite3_stmt* statement) const {
    const int code = sqlite3_step(statement);
    const auto number = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_reset(statement);
    if (code != SQLITE_ROW) return fail(Error::Kind::temporary, concat({name_, ": ", sqlite3_errstr(code)}));
    return number;
  }

  Result<std::optional<std::string>> ask(std::string_view key) const {
    auto* query = query_statement_.get();
    const auto at = key.rfind('@');
    const auto user = key.substr(0, at);
    const auto domain = at == std::string_view::npos ? key : key.substr(at + 1);
    for (int i = 1; i <= sqlite3_bind_parameter_count(query); ++i) {
      const auto* parameter = sqlite3_bind_parameter_name(query, i);
      const std::string_view word = parameter == nullptr ? ":key" : parameter;
      const auto value = word == ":user" ? user : word == ":domain" ? domain : key;
      sqlite3_bind_text(query, i, value.data(), static_cast<int>(value.size()), SQLITE_TRANSIENT);
    }
    std::string joined;
    int code = SQLITE_OK;
    while ((code = sqlite3_step(query)) == SQLITE_ROW) {
      const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(query, 0));
      const auto octets = static_cast<std::size_t>(sqlite3_column_bytes(query, 0));
      if (text != nullptr && octets > 0) joined += concat({joined.empty() ? "" : ", ", {text, octets}});
    }
    sqlite3_reset(query);
    if (code != SQLITE_DONE)
      return fail(Error::Kind::temporary, concat({name_, ": ", sqlite3_errmsg(database_.get())}));
    return joined.empty() ? std::nullopt : std::optional(std::move(joined));
  }

  /// Whatever is wrong with a database, an operator can put it right: the mail waits.
  tl::unexpected<Error> tell(const Error& error) const {
    if (error.text != problem_) {
      problem_ = error.text;
      log_event(LogLevel::error, "map-problem", {{"map", name_}, {"text", error.text}, {"in_use", "none"}});
    }
    return fail(Error::Kind::temporary, error.text);
  }

  EntryCheck check_;
  const Clock& clock_;
  std::string path_, query_, name_;
  mutable std::mutex mutex_;
  mutable Database database_;
  mutable Statement query_statement_, version_statement_;
  mutable std::int64_t version_ = 0;
  mutable ino_t inode_ = 0;
  mutable SteadyTime next_look_{};
  mutable std::string problem_;
  mutable std::unordered_map<std::string, std::optional<std::string>> remembered_;
};

}  // namespace

std::unique_ptr<Map> sqlite_map(const std::string& specification, EntryCheck check, const Clock& clock) {
  return std::make_unique<SqliteMap>(specification, std::move(check), clock);
}

}  // namespace mail::route
