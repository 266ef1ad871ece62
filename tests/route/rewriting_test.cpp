#include "route/rewriting.h"

#include <catch2/catch.hpp>

#include "base/strings.h"
#include "directory/from_settings.h"
#include "route/from_settings.h"
#include "tests/route/fixture.h"

using namespace mail;
using namespace mail::route;

namespace {

struct Fixture : mail::test::MapsFixture {
  std::optional<Rewriting> rewriting;

  Rewriting& get() {
    if (!rewriting) rewriting.emplace(settings);
    return *rewriting;
  }
  std::string sender(std::string_view address) { return get().sender(address).value_or("temporary"); }
  std::string recipient(std::string_view address) { return get().recipient(address).value_or("temporary"); }
};

}  // namespace

TEST_CASE("canonical addresses") {
  Fixture f;
  f.settings.rewrite.canonical_maps = {
      f.map("canonical",
            "ann Ann.Smith@home.test\nbob@old.test bob@new.test\n@older.test @new.test\n"
            "carl@home.test carl.jones\n")};
  f.settings.rewrite.sender_canonical_maps = {f.map("senders", "dan@home.test sales@home.test\n")};
  f.settings.rewrite.recipient_canonical_maps = {f.map("recipients", "eve@home.test bob@old.test\n")};
  CHECK(f.sender("ann@home.test") == "Ann.Smith@home.test");
  CHECK(f.sender("ann+list@mx.home.test") == "Ann.Smith+list@home.test");
  CHECK(f.sender("ann@elsewhere.test") == "ann@elsewhere.test");
  CHECK(f.sender("Bob@Old.test") == "bob@new.test");
  CHECK(f.sender("Zoe@older.test") == "Zoe@new.test");
  CHECK(f.sender("carl@home.test") == "carl.jones@home.test");
  CHECK(f.sender("dan@home.test") == "sales@home.test");
  CHECK(f.recipient("dan@home.test") == "dan@home.test");
  CHECK(f.recipient("eve@home.test") == "bob@new.test");  // its own map, then the common one
  CHECK(f.sender("").empty());
}

TEST_CASE("masquerading cuts hosts off, but for those who keep theirs") {
  Fixture f;
  f.settings.rewrite.masquerade_domains = {"sales.home.test", "Home.test"};
  f.settings.rewrite.masquerade_exceptions = {"root"};
  CHECK(f.sender("ann@pc7.home.test") == "ann@home.test");
  CHECK(f.sender("ann@PC7.sales.home.test") == "ann@sales.home.test");
  CHECK(f.sender("ann@sales.home.test") == "ann@sales.home.test");
  CHECK(f.sender("root@pc7.home.test") == "root@pc7.home.test");
  CHECK(f.sender("ann@nothome.test") == "ann@nothome.test");
  CHECK(f.recipient("ann@pc7.home.test") == "ann@pc7.home.test");
}

TEST_CASE("header fields are rewritten with all that is around the addresses") {
  Fixture f;
  f.settings.rewrite.canonical_maps = {f.map("canonical", "ann@home.test ann.smith@home.test\n")};
  f.settings.rewrite.masquerade_domains = {"home.test"};
  const auto header = [&](std::string_view text) {
    const auto out = f.get().header(text);
    REQUIRE(out);
    return out->value_or("unchanged");
  };
  CHECK(header("From: \"Ann, S.\" <ann@home.test>\r\nTo: x@y.test,\r\n\tAnn (me) <ANN@home.test>, joann@home.test\r\n"
               "Subject: ann@home.test\r\n\r\n") ==
        "From: \"Ann, S.\" <ann.smith@home.test>\r\nTo: x@y.test,\r\n\tAnn (me) <ann.smith@home.test>, "
        "joann@home.test\r\nSubject: ann@home.test\r\n\r\n");
  CHECK(header("Resent-From: bob@pc.home.test\r\nReply-To: =?utf-8?q?B=2E?= <bob@pc.home.test>\r\n\r\n") ==
        "Resent-From: bob@home.test\r\nReply-To: =?utf-8?q?B=2E?= <bob@home.test>\r\n\r\n");
  CHECK(header("From: x@y.test\r\n\r\n") == "unchanged");
  CHECK(header("no header at all\r\nFrom: ann@home.test\r\n") == "no header at all\r\nFrom: ann.smith@home.test\r\n");
  Fixture off;
  off.settings.rewrite.canonical_maps = f.settings.rewrite.canonical_maps;
  off.settings.rewrite.headers = false;
  CHECK_FALSE(*off.get().header("From: ann@home.test\r\n\r\n"));
}

TEST_CASE("copies: of a sender, of a recipient, of everything, each once") {
  Fixture f;
  f.settings.rewrite.always_bcc = "archive@home.test";
  f.settings.rewrite.sender_bcc_maps = {f.map("senders", "ann@home.test boss@home.test, archive@home.test\n")};
  f.settings.rewrite.recipient_bcc_maps = {f.map("recipients", "@shop.test shop-log@home.test\n")};
  const auto copies = [&](std::string_view from, const std::vector<std::string>& to) {
    return join(f.get().copies(from, to).value_or(std::vector<std::string>{"temporary"}), " ");
  };
  CHECK(copies("x@y.test", {"z@y.test"}) == "archive@home.test");
  CHECK(copies("Ann@home.test", {"z@y.test"}) == "archive@home.test boss@home.test");
  CHECK(copies("", {"a@shop.test", "b@shop.test"}) == "archive@home.test shop-log@home.test");
  CHECK(copies("ann@home.test", {"boss@home.test", "Archive@home.test"}).empty());
  CHECK(f.get().gives_copies());
}

TEST_CASE("maps that cannot be read defer; what is wrong in them is said") {
  Fixture f;
  f.settings.rewrite.canonical_maps = {f.map("canonical", "ann@home.test two words\n")};
  f.settings.rewrite.virtual_maps = {f.map("virtual", "v.test x y\ninfo@v.test |/bin/sh\nlist@v.test a b\n")};
  f.settings.rewrite.sender_bcc_maps = {f.directory / "missing"};
  CHECK(f.sender("ann@home.test") == "temporary");
  CHECK_FALSE(f.get().header("From: ann@home.test\r\n\r\n"));
  CHECK_FALSE(f.get().copies("a@b.test", {}));
  const auto problems = map_problems(f.settings);
  REQUIRE(problems.size() == 4);
  CHECK(problems[0] == (f.directory / "virtual") +
                           ":2: \"info@v.test\" may lead to addresses only; programs, files and :include: belong into "
                           "users.aliases_file");
  CHECK(problems[1].find(":3: \"list@v.test\" needs addresses: blank in an address") != std::string::npos);
  CHECK(problems[2] == (f.directory / "canonical") +
                           ":1: \"ann@home.test\" needs one address (user@domain, @domain or user), not \"two words\"");
  CHECK(problems[3].find("missing") != std::string::npos);
}

TEST_CASE("a recipient's canonical address is where the mail goes, once") {
  Fixture f;
  f.settings.users.passwd_file = f.map("users", "ann:{PLAIN}x::::/h::\nbob:{PLAIN}x::::/h::\n");
  f.settings.rewrite.canonical_maps = {
      f.map("canonical", "ann@home.test bob@home.test\nbob@home.test ann@home.test\n")};
  auto users = directory::Directory::open(directory::options_from(f.settings));
  REQUIRE(users);
  const Router router(**users, options_from(f.settings));
  const auto entering = router.route("ann@home.test", {.entering = true});
  REQUIRE(entering);
  CHECK(entering->expanded);
  CHECK(entering->targets.at(0).forward_path == "bob@home.test");
  const auto queued = router.route("bob@home.test");
  REQUIRE(queued);
  CHECK(queued->targets.at(0).forward_path == "bob@home.test");
}
