#include "route/router.h"

#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "base/overloaded.h"
#include "base/strings.h"
#include "tests/support/fixtures.h"

using namespace mail;
using namespace mail::route;

namespace {

/// A route in one line: "local ann+x@example.test -> ann detail x; remote b@c.test -> c.test", or "550 5.1.1".
std::string to_text(const Route& route) {
  if (route.refusal) return concat({decimal(route.refusal->code), " ", route.refusal->enhanced});
  std::string text;
  for (const auto& target : route.targets) {
    if (!text.empty()) text += "; ";
    text += std::visit(overloaded{
                           [&](const LocalMailbox& local) {
                             return concat({"local ", target.forward_path, " -> ", local.user,
                                            local.detail.empty() ? "" : " detail ", local.detail});
                           },
                           [&](const Remote& remote) {
                             return concat({"remote ", target.forward_path, " -> ", remote.domain});
                           },
                           [&](const Pipe& pipe) {
                             return concat({"pipe ", target.forward_path, " -> ", join(pipe.argv, "|")});
                           },
                           [&](const File& file) {
                             return concat({"file ", target.forward_path, " -> ", file.path});
                           },
                           [&](const Discard&) {
                             return concat({"discard ", target.forward_path});
                           },
                       },
                       target.destination);
  }
  return text;
}

struct Fixture {
  mail::test::TemporaryDirectory directory;
  std::unique_ptr<directory::Directory> users;
  std::unique_ptr<Router> router;

  explicit Fixture(std::string_view aliases = "", std::string_view more_users = "") {
    std::ofstream(directory / "users")
        << "ann:{PLAIN}x\nbob:{PLAIN}x\nodd%name:{PLAIN}x\nvic@virtual.test:{PLAIN}x\npost:{PLAIN}x\n"
        << more_users;
    std::ofstream(directory / "aliases") << replace_all(aliases, "DIR", directory.path().string());
    directory::Options options;
    options.passwd_file = directory / "users";
    options.aliases_file = directory / "aliases";
    options.domains = {"example.test", "virtual.test", "xn--bcher-kva.test"};
    options.mail_root = "/m/%d/%n";
    auto opened = directory::Directory::open(options);
    if (!opened) FAIL(opened.error().text);
    users = std::move(*opened);
    Options router_options;
    router_options.host_name = "mx.example.test";
    router_options.addresses = {"192.0.2.1", "2001:db8::1"};
    router_options.postmaster = "post";
    router_options.most_targets = 50;
    router = std::make_unique<Router>(*users, router_options);
  }
  std::string operator()(std::string_view recipient) const {
    const auto route = router->route(recipient);
    return route ? to_text(*route) : "temporary";
  }
  std::string spooled(std::string_view recipient) const {
    const auto route = router->route_spooled(recipient);
    return route ? to_text(*route) : "temporary";
  }
};

}  // namespace

TEST_CASE("a mailbox in every spelling of its address") {
  const Fixture f;
  CHECK(f("ann@example.test") == "local ann@example.test -> ann");
  CHECK(f("<ann@EXAMPLE.Test.>") == "local ann@example.test -> ann");
  CHECK(f("ANN@example.test") == "local ANN@example.test -> ann");
  CHECK(f("\"ann\"@example.test") == "local \"ann\"@example.test -> ann");
  CHECK(f("\"a\\nn\"@example.test") == "local \"a\\nn\"@example.test -> ann");
  CHECK(f("ann") == "local ann@example.test -> ann");
  CHECK(f("ann@mx.example.test") == "local ann@mx.example.test -> ann");
  CHECK(f("ann@[192.0.2.1]") == "local ann@[192.0.2.1] -> ann");
  CHECK(f("ann@[IPv6:2001:0db8:0::1]") == "local ann@[IPv6:2001:db8::1] -> ann");
  CHECK(f("ann@[IPv6:::ffff:192.0.2.1]") == "local ann@[192.0.2.1] -> ann");
  CHECK(f("ann@b\xc3\xbc"
          "cher.test") == "local ann@xn--bcher-kva.test -> ann");
  CHECK(f("ann@B\xc3\x9c"
          "CHER.TEST") == "local ann@xn--bcher-kva.test -> ann");
  CHECK(f("ann@\xef\xbd\x85xample.test") == "local ann@example.test -> ann");
  CHECK(f("@relay.test,@other.test:ann@example.test") == "local ann@example.test -> ann");
}

TEST_CASE("user and detail") {
  const Fixture f;
  CHECK(f("ann+lists@example.test") == "local ann+lists@example.test -> ann detail lists");
  CHECK(f("ann+a+b@example.test") == "local ann+a+b@example.test -> ann detail a+b");
  CHECK(f("ann+@example.test") == "local ann+@example.test -> ann");
  CHECK(f("+ann@example.test") == "550 5.1.1");
  CHECK(f("vic+x@virtual.test") == "local vic+x@virtual.test -> vic@virtual.test detail x");
  CHECK(f("vic@example.test") == "550 5.1.1");
}

TEST_CASE("unknown users, bad addresses, other domains") {
  const Fixture f;
  CHECK(f("nobody@example.test") == "550 5.1.1");
  CHECK(f("carol@elsewhere.test") == "remote carol@elsewhere.test -> elsewhere.test");
  CHECK(f("Carol@ELSEWHERE.test.") == "remote Carol@elsewhere.test -> elsewhere.test");
  CHECK(f("x@[192.0.2.99]") == "remote x@[192.0.2.99] -> [192.0.2.99]");
  for (const auto* bad : {"ann@", "ann@..", "ann@-x.test", "ann@a_very..bad", "ann@[1.2.3]", "ann@[192.0.2.1",
                          "ann@[2001:db8::1]", "ann@x y",
                          "ann@exam\xff"
                          "ple.test",
                          "ann@example.test.."})
    CHECK(f(bad) == "553 5.1.2");
  CHECK(f(concat({"ann@", std::string(64, 'a'), ".test"})) == "553 5.1.2");
  for (const std::string bad :
       {"", "@example.test", "@example.test:", "a b@example.test", "\"ann@example.test", "ann\"x\"@example.test",
        "ann\r\n@example.test", "a,b@example.test", "\"ann\\\"@example.test", "@a.test"})
    CHECK(f(bad) == "553 5.1.3");
}

TEST_CASE("no form of address makes us a relay") {
  const Fixture f;
  CHECK(f("victim%elsewhere.test@example.test") == "550 5.7.1");
  CHECK(f("victim%elsewhere.test@[192.0.2.1]") == "550 5.7.1");
  CHECK(f("victim%elsewhere.test") == "550 5.7.1");
  CHECK(f("elsewhere.test!victim@example.test") == "550 5.7.1");
  CHECK(f("elsewhere.test!victim") == "550 5.7.1");
  CHECK(f("\"victim@elsewhere.test\"@example.test") == "550 5.7.1");
  CHECK(f("\"victim@elsewhere.test\"") == "550 5.7.1");
  CHECK(f("\"victim%elsewhere.test\"@example.test") == "550 5.7.1");
  CHECK(f("@example.test:victim@elsewhere.test") == "550 5.7.1");
  CHECK(f("@example.test,@mx.example.test:victim@elsewhere.test") == "550 5.7.1");
  CHECK(f("\"vic@virtual.test\"@example.test") == "550 5.7.1");
  CHECK(f("victim@elsewhere.test@example.test") == "550 5.7.1");
  CHECK(f("odd%name@example.test") == "local odd%name@example.test -> odd%name");
}

TEST_CASE("postmaster is always there") {
  const Fixture f;
  CHECK(f("postmaster") == "local post@example.test -> post");
  CHECK(f("PostMaster@virtual.test") == "local post@virtual.test -> post");
  const Fixture with_alias("postmaster: ann, bob\n");
  CHECK(with_alias("postmaster@example.test") == "local ann@example.test -> ann; local bob@example.test -> bob");
}

TEST_CASE("aliases: lists, details, virtual domains, catch-all") {
  const Fixture f(
      "team: ann, bob, carol@elsewhere.test, ANN\n"
      "ann: ann, far@elsewhere.test\n"
      "owner-team: bob\n"
      "sales@virtual.test: bob\n"
      "deep: deeper\ndeeper: bob\n"
      "@virtual.test: vic@virtual.test\n"
      "special+x: bob\n"
      "half: nobody, bob\nnone: nobody\n"
      "raw: \\ann\n"
      "gone: :error:He left\n");
  CHECK(f("team@example.test") ==
        "local ann@example.test -> ann; remote far@elsewhere.test -> elsewhere.test; local bob@example.test -> bob; "
        "remote carol@elsewhere.test -> elsewhere.test");
  CHECK(f.router->route("team@example.test")->owner == "owner-team@example.test");
  CHECK(f.router->route("team@example.test")->expanded);
  CHECK_FALSE(f.router->route("bob@example.test")->expanded);
  CHECK(f("team+any@example.test") == f("team@example.test"));
  CHECK(f("sales@virtual.test") == "local bob@virtual.test -> bob");
  CHECK(f("sales@example.test") == "550 5.1.1");
  CHECK(f("anything@virtual.test") == "local vic@virtual.test -> vic@virtual.test");
  CHECK(f("deep@example.test") == "local bob@example.test -> bob");
  CHECK(f("special+x@example.test") == "local bob@example.test -> bob");
  CHECK(f("special@example.test") == "550 5.1.1");
  CHECK(f("half@example.test") == "local bob@example.test -> bob");
  CHECK(f("none@example.test") == "550 5.1.1");
  CHECK(f("raw@example.test") == "local ann@example.test -> ann");
  CHECK(f("gone@example.test") == "550 5.7.1");
  CHECK(f.router->route("gone@example.test")->refusal->text == "He left");
  CHECK_FALSE(f.router->route("team@example.test")->all_local());
  CHECK(f.router->route("deep@example.test")->all_local());
}

TEST_CASE("mail to an alias that is written wrongly waits, whoever else would take it") {
  const Fixture fixture("broken: |prog -x\nann: a b\nnothing:\n@example.test: bob\ngroup: bob, broken\n");
  for (const auto* name : {"broken", "ann", "nothing", "group", "Broken+detail"}) {
    const auto route = fixture.router->route(concat({name, "@example.test"}));
    INFO(name);
    REQUIRE_FALSE(route);
    CHECK(route.error().kind == Error::Kind::temporary);
  }
  CHECK(fixture("other@example.test") == "local bob@example.test -> bob");
}

TEST_CASE("alias loops and bombs end") {
  std::string file = "a: b\nb: a\nself: self\nchain0: bob\n";
  for (int i = 1; i < 40; ++i) file += concat({"chain", decimal(i), ": chain", decimal(i - 1), "\n"});
  file += "bomb:";
  for (int i = 0; i < 60; ++i) file += concat({i == 0 ? " " : ", ", "u", decimal(i), "@elsewhere.test"});
  // Each level names the next one twice: a billion without the memory of what was seen.
  for (int i = 0; i < 19; ++i)
    file += concat({"\nlol", decimal(i), ": lol", decimal(i + 1), ", lol", decimal(i + 1), "+x"});
  file += "\nlol19: bob\n";
  const Fixture f(file);
  CHECK(f("a@example.test") == "550 5.4.6");
  CHECK(f("self@example.test") == "550 5.4.6");
  CHECK(f("chain39@example.test") == "550 5.4.6");
  CHECK(f("chain10@example.test") == "local bob@example.test -> bob");
  CHECK(f("lol0@example.test") == "local bob@example.test -> bob");
  CHECK(f.router->route("bomb@example.test")->targets.size() == 50);
}

TEST_CASE("programs and files of an alias stay out of the envelope") {
  const Fixture f(
      "robot: ann, \"|/bin/prog a 'b c'\", /var/mail/archive, x@elsewhere.test\nquiet: /dev/null\nplain: ann\nown: "
      "own, |/bin/prog\n",
      "own:{PLAIN}x\n");
  CHECK(f("robot@example.test") ==
        "local ann@example.test -> ann; pipe robot@example.test -> /bin/prog|a|b c; file robot@example.test -> "
        "/var/mail/archive; remote x@elsewhere.test -> elsewhere.test");
  CHECK(f.spooled("robot@example.test") ==
        "pipe robot@example.test -> /bin/prog|a|b c; file robot@example.test -> /var/mail/archive");
  CHECK(f.spooled("ann@example.test") == "local ann@example.test -> ann");
  CHECK(f.spooled("ann+x@example.test") == "local ann+x@example.test -> ann detail x");
  CHECK(f("quiet@example.test") == "discard quiet@example.test");
  CHECK(f.spooled("quiet@example.test") == "discard quiet@example.test");
  CHECK(f.spooled("own@example.test") == "local own@example.test -> own; pipe own@example.test -> /bin/prog");
  CHECK(f.spooled("plain@example.test") == "local ann@example.test -> ann");
  CHECK(f.spooled("nobody@example.test") == "550 5.1.1");
  CHECK(f("\"|/bin/prog a\"@example.test") == "550 5.1.1");
  CHECK(f.spooled("\"|/bin/prog a\"@example.test") == "550 5.1.1");
  CHECK(f("/var/mail/archive@example.test") == "550 5.1.1");
}

TEST_CASE("an alias for a user himself does not hide his mailbox when spooled") {
  const Fixture f("ann: ann, bob\n");
  CHECK(f("ann@example.test") == "local ann@example.test -> ann; local bob@example.test -> bob");
  CHECK(f.spooled("ann@example.test") == "local ann@example.test -> ann");
}

TEST_CASE(":include: files: lists, trust, failures") {
  Fixture f(
      "list: :include:DIR/list\nopen: :include:DIR/open\ngone: :include:DIR/missing\nnested: :include:DIR/nested\n");
  std::ofstream(f.directory / "list") << "# members\nann\nbob, carol@elsewhere.test\n|/bin/prog\n";
  std::ofstream(f.directory / "open") << "ann\n";
  std::ofstream(f.directory / "nested") << ":include:" << (f.directory / "nested") << "\nbob\n";
  for (const auto* name : {"list", "nested"}) chmod((f.directory / name).c_str(), 0644);
  chmod((f.directory / "open").c_str(), 0666);
  CHECK(f("list@example.test") ==
        "local ann@example.test -> ann; local bob@example.test -> bob; remote carol@elsewhere.test -> elsewhere.test; "
        "pipe list@example.test -> /bin/prog");
  chmod((f.directory / "list").c_str(), 0664);
  CHECK(f("list@example.test") ==
        "local ann@example.test -> ann; local bob@example.test -> bob; remote carol@elsewhere.test -> elsewhere.test");
  CHECK(f("open@example.test") == "temporary");
  CHECK(f("gone@example.test") == "temporary");
  CHECK(f("nested@example.test") == "local bob@example.test -> bob");
}

TEST_CASE("local domains in any spelling") {
  const Fixture f;
  for (const auto* domain : {"example.test", "Example.TEST.",
                             "b\xc3\xbc"
                             "cher.test",
                             "[192.0.2.1]", "[ipv6:2001:DB8::1]", "mx.example.test"})
    CHECK(f.router->is_local_domain(domain));
  for (const auto* domain : {"", "test", "sub.example.test", "[192.0.2.2]", "example.test..", "exаmple.test"})
    CHECK_FALSE(f.router->is_local_domain(domain));
}
