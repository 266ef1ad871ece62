#include <catch2/catch.hpp>

#include "imapd/command.h"
#include "imapd/uid_sets.h"
#include "tests/imapd/harness.h"

using namespace mail;

TEST_CASE("imapd transcripts") { test::run_transcripts("imapd/transcripts", test::imap_factory()); }

TEST_CASE("each command has one row") {
  for (const auto& family : imapd::command_families())
    for (const auto& command : family) {
      INFO(command.name);
      CHECK(imapd::find_command(command.name) == &command);
      CHECK(command.run != nullptr);
    }
}

TEST_CASE("sets of UIDs") {
  using store::Uid;
  using store::UidSet;
  const UidSet a({{Uid{1}, Uid{5}}, {Uid{8}, Uid{9}}, {Uid{20}, Uid{30}}});
  const UidSet b({{Uid{3}, Uid{8}}, {Uid{25}, Uid{25}}});
  CHECK(imapd::intersection(a, b).text() == "3:5,8,25");
  CHECK(imapd::difference(a, b).text() == "1:2,9,20:24,26:30");
  CHECK(imapd::difference(b, a).text() == "6:7");
  CHECK(imapd::sum(a, b).text() == "1:9,20:30");
  CHECK(imapd::above(a, Uid{8}).text() == "9,20:30");
  CHECK(imapd::above(a, Uid{30}).text().empty());
  CHECK(imapd::partial_of(a, {2, 6}).text() == "2:5,8");
  CHECK(imapd::partial_of(a, {-1, -3}).text() == "28:30");
  CHECK(imapd::partial_of(a, {100, 200}).text().empty());
  CHECK(imapd::first_of(a, 6).text() == "1:5,8");
  std::string walked;
  imapd::UidWalk walk(a);
  while (const auto uid = walk.next()) walked += std::to_string(store::number(*uid)) + " ";
  CHECK(walked == "1 2 3 4 5 8 9 20 21 22 23 24 25 26 27 28 29 30 ");
}
