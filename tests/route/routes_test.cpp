// The router with an operator's maps: transports, virtual domains, relay domains.
#include <catch2/catch.hpp>
#include <fstream>

#include "base/overloaded.h"
#include "base/strings.h"
#include "directory/from_settings.h"
#include "route/from_settings.h"
#include "tests/route/fixture.h"

using namespace mail;
using namespace mail::route;

namespace {

struct Fixture : mail::test::MapsFixture {
  std::unique_ptr<directory::Directory> users;
  std::unique_ptr<Router> router;
  std::vector<std::string> why;

  Fixture() {
    settings.users.passwd_file = directory / "users";
    settings.users.aliases_file = directory / "aliases";
    std::ofstream(directory / "users") << "ann:{PLAIN}x::::/h::\nbob:{PLAIN}x::::/h::\nroot:{PLAIN}x::::/h::\n";
    std::ofstream(directory / "aliases") << "list: ann, far@away.test\npostmaster: root\n";
  }
  void open() {
    auto opened = directory::Directory::open(directory::options_from(settings));
    REQUIRE(opened);
    users = std::move(*opened);
    router = std::make_unique<Router>(*users, options_from(settings));
  }
  std::string operator()(std::string_view recipient, Context context = {.entering = true}) {
    if (!router) open();
    why.clear();
    context.why = &why;
    const auto route = router->route(recipient, context);
    if (!route) return route.error().kind == Error::Kind::temporary ? "temporary" : "error";
    if (route->refusal)
      return concat({decimal(route->refusal->code), " ", route->refusal->enhanced, " ", route->refusal->text});
    std::string text;
    for (const auto& target : route->targets) {
      const auto to =
          std::visit(overloaded{
                         [](const LocalMailbox& m) {
                           return concat({"user ", m.user, m.detail.empty() ? "" : " " + m.detail});
                         },
                         [](const Remote& r) { return r.transport ? r.transport->name : "MX of " + r.domain; },
                         [](const Pipe& p) { return "pipe " + join(p.argv, "|"); },
                         [](const File& file) { return "file " + file.path; },
                         [](const Discard&) { return std::string("discard"); },
                     },
                     target.destination);
      text += concat({text.empty() ? "" : "; ", target.forward_path, " -> ", to});
    }
    return text + (route->ours ? "" : " (not ours)");
  }
};

}  // namespace

TEST_CASE("routes by recipient: the address, its domain, a domain above, then all") {
  Fixture f;
  f.settings.relay.routes = {{"ann@example.net", "one:25"},
                             {"example.net", "two:25"},
                             {".example.net", "three:25"},
                             {"*", "rest:25"},
                             {"old.test", "error:5.1.6 gone"},
                             {"sink.test", "discard:"},
                             {"fax.test", "pipe: user=fax /bin/fax %r"},
                             {"in.test", "local:"},
                             {"one.test", "local:bob"},
                             {"direct.test", "mx:"}};
  CHECK(f("Ann+x@example.net") == "Ann+x@example.net -> one:25 (not ours)");
  CHECK(f("bob@example.net") == "bob@example.net -> two:25 (not ours)");
  CHECK(f("bob@a.b.example.net") == "bob@a.b.example.net -> three:25 (not ours)");
  CHECK(f("x@other.test") == "x@other.test -> rest:25 (not ours)");
  CHECK(f.why == std::vector<std::string>{"route: [relay.routes]: * = \"rest:25\""});
  CHECK(f("x@old.test") == "550 5.1.6 gone");
  CHECK(f("x@sink.test") == "x@sink.test -> discard (not ours)");
  CHECK(f("x@fax.test") == "x@fax.test -> pipe /bin/fax|%r (not ours)");
  CHECK(f("bob+d@in.test") == "bob+d@in.test -> user bob d (not ours)");
  CHECK(f("nobody@in.test") == "550 5.1.1 No such user here");
  CHECK(f("any@one.test") == "any@one.test -> user bob (not ours)");
  CHECK(f("x@direct.test") == "x@direct.test -> mx: (not ours)");
  // "*" is for other hosts' mail.
  CHECK(f("ann@home.test") == "ann@home.test -> user ann");
}

TEST_CASE("routes of local domains and addresses") {
  Fixture f;
  f.settings.relay.routes = {{"home.test", "lmtp:unix:/run/store"}, {"fax@home.test", "pipe: /bin/fax"}};
  CHECK(f("ann+d@home.test") == "ann+d@home.test -> lmtp:unix:/run/store");
  CHECK(f("nobody@home.test") == "550 5.1.1 No such user here");
  CHECK(f("fax@home.test") == "fax@home.test -> pipe /bin/fax");
  CHECK(f("list@home.test") == "ann@home.test -> lmtp:unix:/run/store; far@away.test -> MX of away.test");
  const auto spooled = f.router->route_spooled("fax@home.test");
  REQUIRE(spooled);
  REQUIRE(spooled->targets.size() == 1);
  CHECK(std::get<Pipe>(spooled->targets[0].destination).argv == std::vector<std::string>{"/bin/fax"});
}

TEST_CASE("routes by account come before those by sender, and both behind the recipient's") {
  Fixture f;
  f.settings.relay.routes = {{"example.net", "recipient:25"}};
  f.settings.relay.user_routes = {{"ann", "account:25"}};
  f.settings.relay.sender_routes = {{"bob@home.test", "bob:25"}, {"home.test", "home:25"}, {"<>", "bounces:25"}};
  f.settings.relay.smart_host = "smart:587";
  f.settings.relay.smart_host_user = "me";
  f.settings.relay.smart_host_tls = "required";
  const auto from = [&](std::string_view sender, std::string_view account, std::string_view to) {
    return f(to, {.sender = {sender, account}});
  };
  CHECK(from("bob@home.test", "ann", "x@example.net") == "x@example.net -> recipient:25 (not ours)");
  CHECK(from("bob@home.test", "Ann", "x@y.test") == "x@y.test -> account:25 (not ours)");
  CHECK(from("Bob@Home.test", "", "x@y.test") == "x@y.test -> bob:25 (not ours)");
  CHECK(from("carl@home.test", "carl", "x@y.test") == "x@y.test -> home:25 (not ours)");
  CHECK(from("", "", "x@y.test") == "x@y.test -> bounces:25 (not ours)");
  CHECK(from("d@else.test", "", "x@y.test") == "x@y.test -> smart:587 (not ours)");
  const auto route = f.router->route("x@y.test", {.sender = {"d@else.test", ""}});
  const auto& remote = std::get<Remote>(route->targets.at(0).destination);
  CHECK((remote.transport->tls == "required" && remote.transport->auth_user == "me"));
}

TEST_CASE("routes from a file; one that cannot be read defers") {
  Fixture f;
  f.settings.relay.transports = {{"gateway", "smtp:gw.test:587 tls=required"}};
  f.settings.relay.route_maps = {f.map("transport", "example.net gateway\nbad.test smtp:h:25 source=192.0.2.1\n")};
  CHECK(f("x@example.net") == "x@example.net -> gateway (not ours)");
  CHECK(f.why == std::vector<std::string>{"route: " + (f.directory / "transport") + ": example.net = \"gateway\""});
  Fixture broken;
  broken.settings.relay.route_maps = {broken.map("transport", "example.net smtp:h:0x\n")};
  CHECK(broken("x@example.net") == "temporary");
  CHECK(broken("ann@home.test") == "temporary");  // it might name her
  CHECK(map_problems(broken.settings) ==
        std::vector<std::string>{(broken.directory / "transport") +
                                 ":1: \"example.net\" needs \"host:port\", \"[address]:port\" or \"unix:/path\", not "
                                 "\"h:0x\""});
}

TEST_CASE("virtual domains: addresses, a catch-all, and nobody else") {
  Fixture f;
  f.settings.rewrite.virtual_maps = {f.map("virtual",
                                           "v.test anything\n"
                                           "info@v.test ann@home.test, far@away.test\n"
                                           "chain@v.test info@v.test\n"
                                           "self@v.test self@v.test\n"
                                           "@all.test bob\n"
                                           "all.test yes\n"
                                           "@moved.test @away.test\n"
                                           "ann@home.test ann@home.test, copy@away.test\n"
                                           "gone@other.test bob@home.test\n")};
  CHECK(f("Info@v.test") ==
        "ann@home.test -> user ann; copy@away.test -> MX of away.test; far@away.test -> MX of away.test");
  CHECK(f("chain@v.test").find("far@away.test") != std::string::npos);
  CHECK(f("nobody@v.test") == "550 5.1.1 No such user here");
  CHECK(f("bob@v.test") == "550 5.1.1 No such user here");  // local users are no users of a virtual domain
  CHECK(f("postmaster@v.test") == "root@home.test -> user root");
  CHECK(f("self@v.test") == "550 5.4.6 Alias loop");
  CHECK(f("x+y@all.test") == "bob@home.test -> user bob");
  CHECK(f("who@moved.test") == "who@away.test -> MX of away.test");
  CHECK(f("info+tag@v.test").find("ann+tag@home.test -> user ann tag") == 0);
  CHECK(f("gone@other.test") == "bob@home.test -> user bob");
  CHECK(f("gone@other.test", {}) == "gone@other.test -> MX of other.test (not ours)");  // what waits in the queue
  CHECK(f("info@v.test", {}).find("far@away.test") != std::string::npos);
  CHECK(f("bob@home.test") == "bob@home.test -> user bob");
}

TEST_CASE("virtual maps that lead in circles end") {
  Fixture f;
  f.settings.rewrite.virtual_maps = {f.map("virtual", "a@x.test b@x.test\nb@x.test a@x.test\nx.test y\n")};
  CHECK(f("a@x.test").starts_with("550 5."));
}

TEST_CASE("relay domains take mail from anybody, for those who exist") {
  Fixture f;
  f.settings.smtp.relay_domains = {"In.test", ".sub.test"};
  CHECK(f("x@in.test") == "x@in.test -> MX of in.test");
  CHECK(f("x@a.sub.test") == "x@a.sub.test -> MX of a.sub.test");
  CHECK(f("x@sub.test") == "x@sub.test -> MX of sub.test (not ours)");
  Fixture g;
  g.settings.smtp.relay_domains = {"in.test", "all.test"};
  g.settings.smtp.relay_recipients = {g.map("recipients", "ann@in.test ok\n@all.test ok\n")};
  CHECK(g("Ann+x@in.test") == "Ann+x@in.test -> MX of in.test");
  CHECK(g("bob@in.test") == "550 5.1.1 No such user there");
  CHECK(g("bob@all.test") == "bob@all.test -> MX of all.test");
  CHECK(g("bob@in.test", {}) == "bob@in.test -> MX of in.test");  // what waits in the queue has been accepted
}
