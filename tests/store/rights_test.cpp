#include "store/rights.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <utility>

#include "store/shared_list.h"
#include "store/text_file.h"
#include "tests/support/fixtures.h"

using namespace mail;
using namespace mail::store;

TEST_CASE("rights are those of the most specific identifier, without the negative ones") {
  const auto acl = parse_acl(
      "anyone l\nauthenticated lr\ngroup=staff lrs\nuser=bob lrswit\n-user=bob w\n-group=late t\n\"user=a b\" lra\n");
  const std::string staff[] = {"staff"}, late[] = {"late"};
  CHECK(rights_of(acl, {"carol"}) == "lr");
  CHECK(rights_of(acl, {"carol", false, staff}) == "lrs");
  CHECK(rights_of(acl, {"bob"}) == "lrsit");
  CHECK(rights_of(acl, {"BOB", false, staff}) == "lrsit");
  CHECK(rights_of(acl, {"bob", false, late}) == "lrsi");
  CHECK(rights_of(acl, {"a b"}) == "lra");
  CHECK(rights_of({}, {"carol"}).empty());
  CHECK(rights_of(parse_acl("group-override=staff l\nuser=bob lrs\n"), {"bob", false, staff}) == "l");
}

TEST_CASE("an owner has all rights unless the list speaks of him, and never loses l and a") {
  CHECK(rights_of({}, {"ann", true}) == kAllRights);
  CHECK(rights_of(parse_acl("anyone l\ngroup=staff l\n"), {"ann", true}) == kAllRights);
  CHECK(rights_of(parse_acl("owner r\n"), {"ann", true}) == "lra");
  CHECK(rights_of(parse_acl("user=ann rw\nowner lrs\n"), {"ann", true}) == "lrwa");
  CHECK(rights_of(parse_acl("-anyone xe\n"), {"ann", true}) == "lrswipkta");
  CHECK(rights_of(parse_acl("-owner la\n"), {"ann", true}) == kAllRights);
}

TEST_CASE("rights as clients write and read them") {
  CHECK(parse_rights("lrswicda") == "lrswikxtea");
  CHECK(parse_rights("") == "");
  CHECK(parse_rights("aaal") == "la");
  CHECK_FALSE(parse_rights("lrQ"));
  CHECK_FALSE(parse_rights("q"));
  CHECK(told_rights("lk") == "lkc");
  CHECK(told_rights("et") == "ted");
  CHECK(told_rights("lr") == "lr");
}

TEST_CASE("identifiers of the protocol and of the file") {
  constexpr std::pair<std::string_view, std::string_view> kBoth[] = {{"bob", "user=bob"},
                                                                     {"-bob", "-user=bob"},
                                                                     {"anyone", "anyone"},
                                                                     {"-anyone", "-anyone"},
                                                                     {"owner", "owner"},
                                                                     {"$staff", "group=staff"},
                                                                     {"!$staff", "group-override=staff"}};
  for (const auto& [told, kept] : kBoth) {
    CHECK(identifier_of(told) == kept);
    CHECK(told_identifier(kept) == told);
  }
  for (const std::string_view text : {"", "-", "--bob", "$", "a\nb", "-\x7f"}) CHECK_FALSE(identifier_of(text));
  CHECK_FALSE(identifier_of(std::string("a\0b", 3)));
  CHECK_FALSE(identifier_of(std::string(600, 'a')));
}

TEST_CASE("the list of shared mailboxes is Dovecot's") {
  const std::string text =
      "shared/shared-boxes/anyone/carol\n1\nshared/shared-boxes/user/bob/ann\n1\nshared/shared-boxes/user/bob/"
      "dave\n1\n";
  const auto all = parse_shared_list(text);
  CHECK(all == std::set<Sharing>{{"ann", "bob"}, {"carol", ""}, {"dave", "bob"}});
  CHECK(format_shared_list(all) == text);
  CHECK(parse_shared_list("priv/x\n1\nshared/shared-boxes/user/bob\n1\ntorn").empty());
}

TEST_CASE("the list of shared mailboxes is read anew when another program wrote it") {
  test::TemporaryDirectory directory;
  const std::string path = directory / "shared";
  SharedList one(path), two(path);
  CHECK(one.owners_for("bob").empty());
  REQUIRE(one.set("ann", {"bob", ""}));
  CHECK(two.owners_for("bob") == std::vector<std::string>{"ann"});
  CHECK(two.owners_for("BOB") == std::vector<std::string>{"ann"});
  CHECK(two.owners_for("ann").empty());
  REQUIRE(two.set("carol", {"dave"}));
  CHECK(one.owners_for("dave") == std::vector<std::string>{"ann", "carol"});
  REQUIRE(one.set("ann", {}));
  CHECK(two.owners_for("dave") == std::vector<std::string>{"carol"});
  CHECK(two.owners_for("bob").empty());
  SharedList nowhere(directory / "no/such/file");
  CHECK_FALSE(nowhere.set("ann", {"bob"}));
  CHECK(nowhere.owners_for("bob").empty());
  CHECK(SharedList("").set("ann", {"bob"}));
}
