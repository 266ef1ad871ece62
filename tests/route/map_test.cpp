#include "route/map.h"

#include <sqlite3.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "base/freed.h"
#include "base/strings.h"
#include "tests/support/fixtures.h"

using namespace mail;
using namespace mail::route;
using mail::test::TemporaryDirectory;

namespace {

std::optional<std::string> anything(std::string_view, std::string_view) { return std::nullopt; }
std::optional<std::string> no_blanks(std::string_view, std::string_view value) {
  return value.find(' ') == std::string_view::npos ? std::nullopt : std::optional<std::string>("must be one word");
}
void write(const std::string& path, std::string_view text) { std::ofstream(path) << text; }
void sql(const std::string& path, const char* statements) {
  sqlite3* opened = nullptr;
  REQUIRE(sqlite3_open(path.c_str(), &opened) == SQLITE_OK);
  const std::unique_ptr<sqlite3, Freed<sqlite3_close_v2>> database(opened);
  REQUIRE(sqlite3_exec(opened, statements, nullptr, nullptr, nullptr) == SQLITE_OK);
}
std::string word(const Map& map, std::string_view key) {
  const auto found = map.find(key);
  if (!found) return found.error().kind == Error::Kind::temporary ? "temporary" : "other error";
  return *found ? **found : "-";
}

struct Time {
  ManualClock clock{WallTime{}};
  void a_while() { clock.advance(std::chrono::seconds(2)); }
};

}  // namespace

TEST_CASE("lines of a map file") {
  const auto entries = parse_map_file(
      "# comment\n\nExample.NET  smtp:host\n\n  tls=none\n"
      "alone\n\"a key\"\tvalue # no comment here\r\n");
  REQUIRE(entries.size() == 3);
  CHECK((entries[0].key == "example.net" && entries[0].value == "smtp:host tls=none" && entries[0].line == 3));
  CHECK((entries[1].key == "alone" && entries[1].value.empty() && entries[1].line == 6));
  CHECK((entries[2].key == "a key" && entries[2].value == "value # no comment here"));
}

TEST_CASE_METHOD(Time, "a map file is read again when it changes; a broken one leaves what was") {
  const TemporaryDirectory directory;
  const auto path = directory / "map";
  write(path, "a 1\n");
  const auto map = open_map("hash:" + path, no_blanks, clock);
  CHECK(word(*map, "a") == "1");
  CHECK(word(*map, "b") == "-");
  write(path, "a 22\nb 3\n");
  CHECK(word(*map, "a") == "1");  // once a second it is looked at
  a_while();
  CHECK(word(*map, "a") == "22");
  CHECK(word(*map, "b") == "3");
  write(path, "a 4\nb two words\nc\na 5\n");
  a_while();
  CHECK(word(*map, "a") == "22");
  CHECK(map->problems() == std::vector<std::string>{path + ":2: \"b\" must be one word",
                                                    path + ":3: \"c\" has no value; an entry is `key value`",
                                                    path + ":4: \"a\" stands in the file twice"});
  std::filesystem::remove(path);
  a_while();
  CHECK(word(*map, "a") == "22");
  write(path, "a 6\n");
  a_while();
  CHECK(word(*map, "a") == "6");
}

TEST_CASE_METHOD(Time, "a map file that was never read gives temporary failures, and no others") {
  const TemporaryDirectory directory;
  const auto path = directory / "map";
  const auto map = open_map(path, anything, clock);
  CHECK(word(*map, "a") == "temporary");
  write(path, "no value:\nb\n");
  a_while();
  CHECK(word(*map, "a") == "temporary");
  write(path, "a 1\n");
  a_while();
  CHECK(word(*map, "a") == "1");
}

TEST_CASE_METHOD(Time, "a query with bound parameters is a map") {
  const TemporaryDirectory directory;
  const auto path = directory / "maps.db";
  sql(path,
      "CREATE TABLE m(k TEXT, v TEXT);"
      "INSERT INTO m VALUES('ann@example.net','one'),('ann@example.net','two'),('empty',''),('null',NULL),"
      "('x','y''s');");
  const auto map = open_map("sqlite:" + path + " SELECT v FROM m WHERE k = :key", anything, clock);
  CHECK(map->problems().empty());
  CHECK(map->name() == "sqlite:" + path);
  CHECK(word(*map, "ann@example.net") == "one, two");
  CHECK(word(*map, "empty") == "-");
  CHECK(word(*map, "null") == "-");
  CHECK(word(*map, "x") == "y's");
  CHECK(word(*map, "' OR '1'='1") == "-");
  const auto other = open_map("sqlite:" + path + " SELECT v FROM m WHERE k = :who", anything, clock);
  CHECK(other->problems() ==
        std::vector<std::string>{"sqlite:" + path +
                                 ": the query has the parameter :who; :key, :user and :domain are known"});
  const auto both = open_map("sqlite:" + path + " SELECT :user || '/' || :domain || '/' || ?", anything, clock);
  CHECK(word(*both, "ann@example.net") == "ann/example.net/ann@example.net");
  CHECK(word(*both, "example.net") == "example.net/example.net/example.net");
}

TEST_CASE_METHOD(Time, "a database that changes is noticed; one that cannot be read gives temporary failures") {
  const TemporaryDirectory directory;
  const auto path = directory / "maps.db";
  const auto specification = "sqlite:" + path + " SELECT v FROM m WHERE k = ?";
  const auto map = open_map(specification, no_blanks, clock);
  CHECK(word(*map, "a") == "temporary");  // no such file
  sql(path, "CREATE TABLE m(k TEXT, v TEXT); INSERT INTO m VALUES('a','1');");
  CHECK(word(*map, "a") == "temporary");  // it is not tried at each look-up
  a_while();
  CHECK(word(*map, "a") == "1");
  CHECK(word(*map, "b") == "-");
  sql(path, "INSERT INTO m VALUES('b','2'); UPDATE m SET v = 'x y' WHERE k = 'a';");
  a_while();
  CHECK(word(*map, "b") == "2");
  CHECK(word(*map, "a") == "temporary");  // a value of no use is an operator's mistake
  std::filesystem::remove(path);
  a_while();
  CHECK(word(*map, "b") == "temporary");
  write(path, "this is no database, but a text of some length that stands in its place\n");
  a_while();
  CHECK(word(*map, "b") == "temporary");
  std::filesystem::remove(path);
  sql(path, "CREATE TABLE m(k TEXT, v TEXT); INSERT INTO m VALUES('b','3');");
  a_while();
  CHECK(word(*map, "b") == "3");
}

TEST_CASE_METHOD(Time, "what is wrong with a map in SQLite is said") {
  const TemporaryDirectory directory;
  const auto path = directory / "maps.db";
  sql(path, "CREATE TABLE m(k TEXT, v TEXT);");
  const auto problem = [&](const std::string& specification) {
    const auto problems = open_map(specification, anything, clock)->problems();
    return problems.empty() ? "none" : problems.front();
  };
  CHECK(problem("sqlite:" + path).find("a map in SQLite is \"sqlite:/absolute/path SELECT") != std::string::npos);
  CHECK(problem("sqlite:" + path + " SELECT w FROM m").find("no such column: w") != std::string::npos);
  CHECK(problem("sqlite:" + path + " SELECT k, v FROM m").find("must be a SELECT of one column") != std::string::npos);
  CHECK(problem("sqlite:" + path + " DELETE FROM m RETURNING k").find("must be a SELECT") != std::string::npos);
  CHECK(problem("sqlite:/nowhere/x.db SELECT 1").find("/nowhere/x.db") != std::string::npos);
}

TEST_CASE("an address is found with and without its extension") {
  Maps maps;
  maps.add(inline_map("[t]", {{"ann@a.test", "1"}, {"ann+x@a.test", "2"}, {"bob", "3"}}));
  const auto find = [&](std::string_view name, bool bare) {
    const auto hit = find_address(maps, name, "a.test", "+", bare);
    REQUIRE(hit);
    return *hit ? concat({(*hit)->value, " ", (*hit)->extension, " ", (*hit)->rule}) : "-";
  };
  CHECK(find("ann", false) == "1  [t]: ann@a.test");
  CHECK(find("ann+x", false) == "2  [t]: ann+x@a.test");
  CHECK(find("ann+y", false) == "1 +y [t]: ann@a.test");
  CHECK(find("bob", false) == "-");
  CHECK(find("bob+z", true) == "3 +z [t]: bob");
  CHECK(with_extension("c@b.test", "+z") == "c+z@b.test");
  CHECK(with_extension("c+q@b.test", "+z") == "c+q@b.test");
  CHECK(with_extension("c", "+z") == "c+z");
  CHECK(with_extension("c@b.test", "") == "c@b.test");
}
