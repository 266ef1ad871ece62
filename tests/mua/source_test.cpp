#include "mua/source.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "base/strings.h"
#include "tests/support/fixtures.h"

using namespace mail;
using namespace mail::mua;

namespace {
void put(const std::string& path, std::string_view text) { std::ofstream(path, std::ios::binary) << text; }
}  // namespace

TEST_CASE("sets of messages as they are typed") {
  const std::vector<std::uint32_t> all{1, 3, 5, 9};
  const auto chosen = [&](std::string_view text) { return select_ids(*IdSet::parse(text), all); };
  CHECK(chosen("3") == std::vector<std::uint32_t>{3});
  CHECK(chosen("2:6") == std::vector<std::uint32_t>{3, 5});
  CHECK(chosen("last") == std::vector<std::uint32_t>{9});
  CHECK(chosen("5:*") == std::vector<std::uint32_t>{5, 9});
  CHECK(chosen("all") == all);
  CHECK(chosen("1,9") == std::vector<std::uint32_t>{1, 9});
  CHECK(chosen("7").empty());
  for (const auto* bad : {"", "0", "x", "1:", "1,,2", "4294967296", "-1"}) CHECK_FALSE(IdSet::parse(bad));
  CHECK(IdSet::parse("1,3:*")->imap() == "1,3:*");
}

TEST_CASE("a Maildir is listed, searched, flagged, moved and appended to") {
  const test::TemporaryDirectory directory;
  const auto maildir = directory / "Maildir";
  CHECK_FALSE(open_maildir(maildir));  // nothing is made by a slip of the keyboard
  for (const auto* folder : {"/cur", "/new", "/tmp"}) std::filesystem::create_directories(maildir + folder);
  put(maildir + "/new/1.a.host",
      "From: Ann <ann@example.net>\nSubject: =?utf-8?q?caf=C3=A9?=\nMessage-ID: <1@x>\nDate: Fri, 21 Nov 1997 09:55:06 "
      "-0600\n\nfirst body\n");
  put(maildir + "/cur/2.b.host:2,S", "From: bob@example.net\nSubject: second\nIn-Reply-To: <1@x>\n\nother\n");
  auto source = open_maildir(maildir);
  REQUIRE(source);
  REQUIRE((*source)->open("INBOX", false));
  const auto ids = *(*source)->ids();
  REQUIRE(ids.size() == 2);
  const auto items = *(*source)->items(ids);
  REQUIRE(items.size() == 2);
  CHECK(items[0].subject == "caf\xC3\xA9");
  CHECK(items[0].from.front().display_name == "Ann");
  CHECK_FALSE(items[0].has("seen"));
  CHECK(items[1].has("seen"));
  CHECK(items[1].in_reply_to == "1@x");
  Query query;
  query.text = {"CAF\xC3\x89"};
  CHECK(*(*source)->search(query) == std::vector<std::uint32_t>{ids[0]});
  query.text = {"other"};
  query.without_flags = {"seen"};
  CHECK((*source)->search(query)->empty());
  query = {};
  query.before = std::chrono::sys_days(std::chrono::year(1998) / 1 / 1);
  CHECK(*(*source)->search(query) == std::vector<std::uint32_t>{ids[0]});
  REQUIRE((*source)->flag({ids[0]}, {"flagged", "todo"}, {}));
  const auto flagged = *(*source)->items({ids[0]});
  CHECK(flagged.front().has("flagged"));
  CHECK(flagged.front().has("todo"));
  CHECK((*source)->fetch(ids[0])->find("first body") != std::string::npos);
  CHECK_FALSE((*source)->fetch(999));
  REQUIRE((*source)->append("Sent", "Subject: x\r\n\r\nsent\r\n", {"seen"}));
  CHECK_FALSE((*source)->copy({ids[0]}, "No such folder"));
  REQUIRE((*source)->move({ids[0]}, "Sent"));
  REQUIRE((*source)->remove({ids[1]}));
  (*source).reset();
  source = open_maildir(maildir);
  REQUIRE((*source)->open("Sent", true));
  CHECK((*source)->ids()->size() == 2);
  REQUIRE((*source)->open("INBOX", true));
  CHECK((*source)->ids()->empty());
}
