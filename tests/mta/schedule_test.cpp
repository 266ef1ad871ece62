// When the queue manager sends what: priorities, rates, turns, deadlines, and what operators and peers ask of it.
#include <atomic>
#include <thread>

#include "spool/nudge.h"
#include "tests/mta/relay_fixture.h"

using namespace mail;
using namespace mail::relay;
using namespace mail::test;
using namespace std::chrono_literals;

namespace {

std::vector<std::string> senders(Sink& sink) {
  std::vector<std::string> found;
  for (const auto& message : sink.messages())
    found.push_back(message.reverse_path.substr(6, message.reverse_path.find('>') - 6));
  return found;
}

spool::Envelope envelope(const Relay& relay, const std::string& to, const std::string& from = "ann@home.example") {
  return relay.envelope(from, {to});
}

}  // namespace

TEST_CASE("MT-PRIORITY: urgent mail is sent before what waited longer, and the peer is told") {
  std::atomic<bool> open = false;
  Sink sink([&](const std::string& line) -> std::string {
    if (line.empty() && !open) return "421 4.3.2 not now";
    return line.starts_with("EHLO") ? "250-sink\r\n250 MT-PRIORITY" : "";
  });
  Relay relay;
  relay.route("far.example", sink);
  relay.settings.relay.connections_per_host = 1;
  relay.start();
  for (const int priority : {-4, 0, 0, 6}) {
    auto e =
        envelope(relay, "bob@far.example", concat({"p", decimal(static_cast<unsigned>(priority + 4)), "@x.example"}));
    e.priority = priority;
    relay.put(e);
    relay.until([] { return false; }, 50ms);
  }
  open = true;
  REQUIRE(spool::nudge(*relay.spool, {"flush"}));
  REQUIRE(relay.until([&] { return relay.count(Box::queue) == 0; }));
  CHECK(senders(sink) == std::vector<std::string>{"p10@x.example", "p4@x.example", "p4@x.example", "p0@x.example"});
  CHECK(contains(sink.messages()[0].reverse_path, "MT-PRIORITY=6"));
}

TEST_CASE("a destination with a rate gets no more than that; others do not wait for it") {
  Sink slow, fast;
  Relay relay;
  relay.route("slow.example", slow);
  relay.route("fast.example", fast);
  relay.settings.relay.rates[concat({"127.0.0.1:", decimal(slow.port)})] = "4/1s";
  relay.start();
  for (int i = 0; i < 20; ++i) relay.put({"u@slow.example"});
  for (int i = 0; i < 20; ++i) relay.put({"u@fast.example"});
  REQUIRE(relay.until([&] { return fast.count() == 20; }, 3s));
  CHECK(slow.count() <= 10);
  relay.until([] { return false; }, 1500ms);
  CHECK(slow.count() >= 6);
  CHECK(slow.count() <= 16);
}

TEST_CASE("while all connections are in use, a destination has them for a turn only") {
  Sink bulk([](const std::string& line) {
    if (line == ".") std::this_thread::sleep_for(5ms);
    return "";
  });
  Sink other;
  Relay relay;
  relay.route("bulk.example", bulk);
  relay.route("other.example", other);
  relay.settings.relay.connections = 1;
  relay.start();
  for (int i = 0; i < 80; ++i) relay.put({"u@bulk.example"});
  REQUIRE(relay.until([&] { return bulk.count() > 0; }));
  relay.put({"u@other.example"});
  REQUIRE(relay.until([&] { return other.count() == 1; }));
  CHECK(bulk.count() < 70);
  REQUIRE(relay.until([&] { return relay.count(Box::queue) == 0; }));
  CHECK(bulk.count() == 80);
}

TEST_CASE("dead destinations give their connections to those that wait") {
  Sink alive;
  Relay relay;
  relay.route("alive.example", alive);
  for (int i = 0; i < 8; ++i)
    relay.settings.relay.routes[concat({"d", decimal(i), ".example"})] = concat({"127.0.0.", decimal(i + 1), ":1"});
  relay.settings.relay.connections = 2;
  relay.start();
  for (int i = 0; i < 8; ++i) relay.put({concat({"u@d", decimal(i), ".example"})});
  relay.put({"u@alive.example"});
  REQUIRE(relay.until([&] { return alive.count() == 1; }));
}

TEST_CASE(
    "DELIVERBY: at its time the message comes back, or its delay is reported, though its host is dead for longer") {
  Relay relay;
  relay.settings.relay.routes["dead.example"] = "127.0.0.1:1";
  relay.settings.relay.retry_first = relay.settings.relay.retry_most = 3600s;
  relay.start();
  auto back = envelope(relay, "bob@dead.example"), told = envelope(relay, "cy@dead.example");
  back.deliver_by = told.deliver_by = relay.clock.now() + 120s;
  back.deliver_by_return = true;
  relay.put(back);
  relay.put(told);
  relay.until([] { return false; }, 300ms);
  CHECK(relay.count(Box::local) == 0);
  relay.clock.advance(121s);
  REQUIRE(relay.until([&] { return relay.count(Box::local) == 2 && relay.count(Box::queue) == 1; }));
  std::string text;
  for (const auto& m : relay.all(Box::local)) text += m.content();
  CHECK(contains(text, "Action: failed"));
  CHECK(contains(text, "Action: delayed"));
  CHECK(contains(text, "Status: 4.4.7"));
  CHECK(contains(text, "Status: 5.4.7"));
  CHECK(contains(text, "Connection refused"));
}

TEST_CASE("FUTURERELEASE: nothing leaves before its time") {
  Sink sink;
  Relay relay;
  relay.route("far.example", sink);
  relay.start();
  auto e = envelope(relay, "bob@far.example");
  e.hold_until = relay.clock.now() + 600s;
  relay.put(e);
  relay.until([] { return false; }, 200ms);
  CHECK(sink.count() == 0);
  relay.clock.advance(601s);
  REQUIRE(relay.until([&] { return sink.count() == 1 && relay.count(Box::queue) == 0; }));
}

TEST_CASE("who is in a hurry hears of a failure sooner; the postmaster's own undeliverable report is dropped") {
  Relay relay;
  relay.settings.relay.routes["dead.example"] = "127.0.0.1:1";
  relay.start();
  auto urgent = envelope(relay, "bob@dead.example"), usual = envelope(relay, "bob@dead.example");
  urgent.priority = 4;
  relay.put(urgent);
  relay.put(usual);
  auto report = envelope(relay, "gone@dead.example", "");  // the postmaster hears of it
  relay.put(report);
  relay.until([] { return false; }, 200ms);
  relay.clock.advance(25h);
  // The bounce of the urgent one, the double bounce, and the delay of the usual one.
  REQUIRE(relay.until([&] { return relay.count(Box::local) == 3 && relay.count(Box::queue) == 1; }));
  int failed = 0, delayed = 0, postmaster = 0;
  for (const auto& m : relay.all(Box::local)) {
    failed += contains(m.content(), "Action: failed");
    delayed += contains(m.content(), "Action: delayed");
    postmaster += m.envelope().recipients[0].forward_path.starts_with("postmaster@");
  }
  CHECK(failed == 2);
  CHECK(delayed == 1);
  CHECK(postmaster == 1);
}

TEST_CASE("many messages fail at once, a few at a time, each with its report") {
  Relay relay;
  relay.settings.relay.routes["dead.example"] = "127.0.0.1:1";
  relay.start();
  for (int i = 0; i < 300; ++i) relay.put(envelope(relay, "bob@dead.example"));
  relay.until([] { return false; }, 200ms);
  relay.clock.advance(24h * 6);
  REQUIRE(relay.until([&] { return relay.count(Box::local) == 300 && relay.count(Box::queue) == 0; }, 30s));
  CHECK(relay.manager->messages() == 0);
}

TEST_CASE("a backlog is read beside new mail, all of it") {
  Sink sink;
  Relay relay;
  relay.route("far.example", sink);
  relay.settings.relay.routes["dead.example"] = "127.0.0.1:1";
  relay.start();
  relay.manager.reset();
  for (int i = 0; i < 700; ++i) relay.put({"u@dead.example"});
  relay.begin();
  relay.put({"u@far.example"});
  REQUIRE(relay.until([&] { return sink.count() == 1 && relay.manager->messages() == 700; }));
}

TEST_CASE("a message that an operator touches while it is being sent is sent once") {
  Sink sink([](const std::string& line) {
    if (line == ".") std::this_thread::sleep_for(std::chrono::milliseconds(300));
    return "";
  });
  Relay relay;
  relay.route("far.example", sink);
  relay.start();
  const auto id = relay.put({"bob@far.example"});
  relay.until([&] { return relay.manager->busy() > 0; });
  REQUIRE(relay.manager->busy() == 1);
  REQUIRE(spool::set_retry(*relay.spool, Box::queue, id, {}, 0));
  REQUIRE(spool::nudge(*relay.spool, {"look " + id.text()}));
  REQUIRE(relay.until([&] { return relay.count(Box::queue) == 0; }));
  relay.until([] { return false; }, std::chrono::milliseconds(100));
  CHECK(sink.count() == 1);
  CHECK(relay.manager->messages() == 0);
}

TEST_CASE("flush names a domain, those below it, or a destination; a peer may ask once a minute") {
  Sink sink([](const std::string& line) { return line.empty() ? "421 4.3.2 not now" : ""; });
  Relay relay;
  relay.route("far.example", sink);
  relay.start();
  relay.put({"bob@far.example"});
  const auto tries = [&](std::size_t wanted) {
    return relay.until([&] { return sink.connections() == wanted; }, std::chrono::seconds(3));
  };
  const auto order = [&](std::string_view text) { REQUIRE(spool::nudge(*relay.spool, {std::string(text)})); };
  REQUIRE(tries(1));
  order("flush near.example");
  CHECK_FALSE(relay.until([&] { return sink.connections() > 1; }, std::chrono::milliseconds(200)));
  order("flush FAR.example");
  REQUIRE(tries(2));
  relay.clock.advance(std::chrono::seconds(2));
  order("etrn far.example");
  CHECK_FALSE(relay.until([&] { return sink.connections() > 2; }, std::chrono::milliseconds(200)));
  relay.clock.advance(std::chrono::seconds(61));
  order("etrn far.example");
  REQUIRE(tries(3));
  relay.until([] { return false; }, 100ms);  // an attempt that is being made is what was asked for
  relay.clock.advance(std::chrono::seconds(61));
  order("flush");
  REQUIRE(tries(4));
}

TEST_CASE("a delay warning of 0s is never sent") {
  Relay relay;
  Sink sink([](const std::string& line) { return line.starts_with("RCPT") ? "451 4.2.1 later" : ""; });
  relay.route("far.example", sink);
  relay.settings.relay.delay_warning = std::chrono::seconds(0);
  relay.start();
  const auto id = relay.put({"bob@far.example"}, "ann@home.example");
  REQUIRE(relay.until([&] { return relay.attempts(id) == 1; }));
  relay.until([] { return false; }, std::chrono::milliseconds(100));
  CHECK(relay.count(Box::local) == 0);
}
