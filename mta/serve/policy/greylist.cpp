#include "mta/serve/policy/greylist.h"

#include <sqlite3.h>

#include "base/freed.h"
#include "base/strings.h"

namespace mail::mta {
namespace {

using Statement = std::unique_ptr<sqlite3_stmt, Freed<sqlite3_finalize>>;
constexpr std::int64_t kSweepEvery = 3600;

tl::unexpected<Error> database_error(sqlite3* database) {
  return fail(Error::Kind::temporary, concat({"greylist: ", sqlite3_errmsg(database)}));
}

Statement prepare(sqlite3* database, const char* sql, std::initializer_list<std::int64_t> numbers,
                  std::string_view key = {}) {
  sqlite3_stmt* statement = nullptr;
  sqlite3_prepare_v2(database, sql, -1, &statement, nullptr);
  int at = 0;
  for (const auto number : numbers) sqlite3_bind_int64(statement, ++at, number);
  if (!key.empty()) sqlite3_bind_text(statement, ++at, key.data(), static_cast<int>(key.size()), SQLITE_TRANSIENT);
  return Statement(statement);
}

}  // namespace

Result<std::unique_ptr<Greylist>> Greylist::open(const std::string& path, Settings settings, const Clock& clock) {
  sqlite3* database = nullptr;
  const int status = sqlite3_open_v2(path.c_str(), &database,
                                     SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX, nullptr);
  std::unique_ptr<Greylist> out(new Greylist(database, settings, clock));
  if (status != SQLITE_OK)
    return fail(Error::Kind::permanent, concat({"policy.greylist_database ", path, ": ", sqlite3_errstr(status)}));
  sqlite3_busy_timeout(database, 5000);
  // A power cut may cost the last seconds of greylisting, which only makes somebody wait once more: no flush is worth
  // that.
  MAIL_CHECK(out->execute("PRAGMA journal_mode=WAL"));
  MAIL_CHECK(out->execute("PRAGMA synchronous=OFF"));
  MAIL_CHECK(
      out->execute("CREATE TABLE IF NOT EXISTS triple(key TEXT PRIMARY KEY, first INTEGER, last INTEGER, passed "
                   "INTEGER) WITHOUT ROWID"));
  return out;
}

Greylist::~Greylist() { sqlite3_close_v2(database_); }

Status Greylist::execute(const char* sql) {
  if (sqlite3_exec(database_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) return database_error(database_);
  return {};
}

Result<std::chrono::seconds> Greylist::check(const IpAddress& client, std::string_view sender,
                                             std::string_view recipient) {
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(clock_.now().time_since_epoch()).count();
  const auto key =
      concat({client.masked(client.is_v4() ? 24 : 64).to_string(), " ", to_lower(sender), " ", to_lower(recipient)});
  const std::lock_guard lock(mutex_);
  if (now - swept_ > kSweepEvery) MAIL_CHECK(sweep_at(now));
  std::int64_t first = now;
  bool known = false;
  bool passed = false;
  {
    const auto find = prepare(database_, "SELECT first, last, passed FROM triple WHERE key=?", {}, key);
    const int step = sqlite3_step(find.get());
    if (step != SQLITE_ROW && step != SQLITE_DONE) return database_error(database_);
    if (step == SQLITE_ROW) {
      first = sqlite3_column_int64(find.get(), 0);
      passed = sqlite3_column_int64(find.get(), 2) != 0;
      const auto age = now - sqlite3_column_int64(find.get(), 1);
      known = passed ? age <= settings_.keep.count() : now - first <= settings_.window.count();
    }
  }
  if (!known) first = now, passed = false;
  const auto waited = now - first;
  if (!passed && known && waited >= settings_.delay.count()) passed = true;
  const auto write = prepare(database_, "INSERT OR REPLACE INTO triple(first, last, passed, key) VALUES(?,?,?,?)",
                             {first, now, passed ? 1 : 0}, key);
  if (sqlite3_step(write.get()) != SQLITE_DONE) return database_error(database_);
  return passed ? std::chrono::seconds(0) : std::chrono::seconds(settings_.delay.count() - waited);
}

Result<int> Greylist::sweep() {
  const std::lock_guard lock(mutex_);
  return sweep_at(std::chrono::duration_cast<std::chrono::seconds>(clock_.now().time_since_epoch()).count());
}

Result<int> Greylist::sweep_at(std::int64_t now) {
  swept_ = now;
  const auto old = prepare(database_, "DELETE FROM triple WHERE (passed=0 AND first<?) OR (passed=1 AND last<?)",
                           {now - settings_.window.count(), now - settings_.keep.count()});
  if (sqlite3_step(old.get()) != SQLITE_DONE) return database_error(database_);
  return sqlite3_changes(database_);
}

}  // namespace mail::mta
