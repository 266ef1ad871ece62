// The queue manager over a real spool, with made-up DNS and hosts that say what the test wants.
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>
#include <thread>

#include "base/strings.h"
#include "directory/from_settings.h"
#include "mta/relay/attempts_log.h"
#include "mta/relay/manager.h"
#include "route/from_settings.h"
#include "spool/drop.h"
#include "spool/journal.h"
#include "tests/mta/sink.h"
#include "tests/support/fixtures.h"

using namespace mail;
using namespace mail::relay;
using mail::test::Sink;
using mail::test::TemporaryDirectory;
using spool::Box;

namespace {

constexpr std::string_view kContent = "Subject: hello\r\nMessage-ID: <1@example.net>\r\n\r\nBody.\r\n";

/// A relay that runs in the test's own thread.
struct Relay {
  TemporaryDirectory temporary;
  config::Settings settings;
  std::unique_ptr<net::Loop> loop = std::move(*net::Loop::open());
  net::TableResolver resolver{*loop};
  ManualClock clock{WallTime(std::chrono::seconds(1'800'000'000))};
  std::unique_ptr<directory::Directory> directory;
  std::unique_ptr<route::Router> router;
  std::unique_ptr<spool::Spool> spool;
  std::unique_ptr<spool::Writer> writer;
  std::unique_ptr<spool::DoneJournal> done;
  std::unique_ptr<Manager> manager;

  Relay() {
    settings.host.name = "mx.home.example";
    settings.host.domains = {"home.example"};
    settings.relay.private_targets = true;
    settings.users.passwd_file = temporary / "users";
    settings.users.aliases_file = temporary / "aliases";
    std::ofstream(temporary / "users") << "ann:{PLAIN}x::::/home/ann::\npostmaster:{PLAIN}x::::/home/p::\n";
    std::ofstream(temporary / "aliases") << "list: ann, bob@far.example\n";
  }
  void route(const std::string& domain, const Sink& sink) {
    settings.relay.routes[domain] = concat({"127.0.0.1:", decimal(sink.port)});
  }
  void start() {
    auto users = directory::Directory::open(directory::options_from(settings), clock);
    REQUIRE(users);
    directory = std::move(*users);
    router = std::make_unique<route::Router>(*directory, route::options_from(settings));
    auto opened = spool::Spool::open(temporary / "spool");
    REQUIRE(opened);
    spool = std::make_unique<spool::Spool>(std::move(*opened));
    spool::WriterOptions options;
    options.segment_octets = 1 << 20;
    auto w = spool::Writer::open(*spool, "relay", options);
    REQUIRE(w);
    writer = std::move(*w);
    auto d = spool::DoneJournal::open(*spool, "relay", 1 << 16);
    REQUIRE(d);
    done = std::move(*d);
    begin();
  }
  void begin() {
    manager = std::make_unique<Manager>(Surroundings{.loop = *loop,
                                                     .resolver = resolver,
                                                     .settings = settings,
                                                     .router = *router,
                                                     .spool = *spool,
                                                     .writer = *writer,
                                                     .done = *done,
                                                     .clock = clock,
                                                     .tls = {}});
    REQUIRE(manager->start());
  }
  ~Relay() {
    manager.reset();
    done.reset();
    writer.reset();
  }
  MessageId put(std::vector<std::string> recipients, std::string reverse_path = "sender@client.example",
                std::string_view content = kContent) {
    spool::Envelope e;
    e.id = MessageId::generate();
    e.arrival = clock.now();
    e.reverse_path = std::move(reverse_path);
    for (auto& r : recipients) e.recipients.push_back({.forward_path = r});
    return put(e, content);
  }
  MessageId put(const spool::Envelope& e, std::string_view content = kContent) {
    REQUIRE(writer->put({{Box::queue, e}}, content));
    return e.id;
  }
  /// Runs the loop until it holds, `most` at most.
  template <class Condition>
  bool until(Condition condition, std::chrono::milliseconds most = std::chrono::seconds(10)) {
    const auto end = std::chrono::steady_clock::now() + most;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > end) return false;
      loop->run_once(std::chrono::milliseconds(10));
    }
    return true;
  }
  std::vector<spool::StoredMessage> all(Box box) {
    std::vector<spool::StoredMessage> out;
    const auto ids = spool->list(box);
    REQUIRE(ids);
    for (const auto& id : *ids) {
      auto message = spool::StoredMessage::open(*spool, box, id);
      REQUIRE(message);
      out.push_back(std::move(*message));
    }
    return out;
  }
  std::size_t count(Box box) { return spool->list(box)->size(); }
};

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

}  // namespace

TEST_CASE("a message goes to its host whole, and leaves the queue") {
  Sink sink;
  Relay relay;
  relay.route("far.example", sink);
  relay.start();
  relay.put({"bob@far.example", "cy@far.example"});
  REQUIRE(relay.until([&] { return sink.count() == 1 && relay.count(Box::queue) == 0; }));
  const auto message = sink.messages()[0];
  CHECK(message.forward_paths == std::vector<std::string>{"<bob@far.example>", "<cy@far.example>"});
  CHECK(message.reverse_path.starts_with("FROM:<sender@client.example>"));
  CHECK(message.content == kContent);
  CHECK(relay.manager->messages() == 0);
}

TEST_CASE("many messages share few connections, each sent once") {
  Sink sink;
  Relay relay;
  relay.route("far.example", sink);
  relay.start();
  for (int i = 0; i < 100; ++i) relay.put({concat({"u", decimal(i), "@far.example"})});
  REQUIRE(relay.until([&] { return relay.count(Box::queue) == 0; }));
  CHECK(sink.count() == 100);
  CHECK(sink.connections() <= 20);
}

TEST_CASE("what is in the queue at the start is sent too; another message's state is respected") {
  Sink sink;
  Relay relay;
  relay.route("far.example", sink);
  relay.start();
  relay.manager.reset();
  spool::Envelope e;
  e.id = MessageId::generate();
  e.arrival = relay.clock.now();
  e.recipients = {{.forward_path = "done@far.example", .state = spool::RecipientState::delivered},
                  {.forward_path = "open@far.example"}};
  relay.put(e);
  relay.begin();
  REQUIRE(relay.until([&] { return relay.count(Box::queue) == 0; }));
  REQUIRE(sink.count() == 1);
  CHECK(sink.messages()[0].forward_paths == std::vector<std::string>{"<open@far.example>"});
}

TEST_CASE("one bounce tells of all recipients that were refused; the others are delivered") {
  Sink sink([](const std::string& line) { return contains(line, "bad") ? "550 5.1.1 no such user" : ""; });
  Relay relay;
  relay.route("far.example", sink);
  relay.route("client.example", sink);
  relay.start();
  relay.put({"bad1@far.example", "good@far.example", "bad2@far.example"});
  REQUIRE(relay.until([&] { return sink.count() == 2 && relay.count(Box::queue) == 0; }));
  const auto bounce = sink.messages()[1];
  CHECK(bounce.reverse_path.starts_with("FROM:<>"));
  CHECK(bounce.forward_paths == std::vector<std::string>{"<sender@client.example>"});
  CHECK(contains(bounce.content, "multipart/report"));
  CHECK(contains(bounce.content, "Final-Recipient: rfc822; bad1@far.example"));
  CHECK(contains(bounce.content, "Final-Recipient: rfc822; bad2@far.example"));
  CHECK(contains(bounce.content, "Status: 5.1.1"));
  CHECK_FALSE(contains(bounce.content, "Final-Recipient: rfc822; good@far.example"));
}

TEST_CASE("a bounce to a local sender goes to spool/local; a bounce that bounces, to the postmaster") {
  Sink sink([](const std::string& line) { return line.starts_with("RCPT") ? "550 5.7.1 no" : ""; });
  Relay relay;
  relay.route("far.example", sink);
  relay.start();
  relay.put({"bob@far.example"}, "ann@home.example");
  REQUIRE(relay.until([&] { return relay.count(Box::local) == 1 && relay.count(Box::queue) == 0; }));
  CHECK(relay.all(Box::local)[0].envelope().recipients[0].user == "ann");
  relay.put({"bob@far.example"}, "");
  REQUIRE(relay.until([&] { return relay.count(Box::local) == 2 && relay.count(Box::queue) == 0; }));
  const auto mail = relay.all(Box::local);
  CHECK(std::ranges::any_of(mail, [](const auto& m) { return m.envelope().recipients[0].user == "postmaster"; }));
}

TEST_CASE("a temporary refusal waits for its time, is noted, and is tried again") {
  int refusals = 1;
  Sink sink([&](const std::string& line) {
    return line.starts_with("RCPT") && refusals-- > 0 ? "451 4.7.1 greylisted" : "";
  });
  Relay relay;
  relay.route("far.example", sink);
  relay.start();
  const auto id = relay.put({"bob@far.example"});
  REQUIRE(relay.until([&] { return !spool::read_log(*relay.spool, Box::queue, id).empty(); }));
  relay.until([&] { return spool::read_envelope(*relay.spool, Box::queue, id)->attempts == 1; });
  const auto envelope = spool::read_envelope(*relay.spool, Box::queue, id);
  CHECK(envelope->next_attempt > relay.clock.now() + std::chrono::seconds(50));
  const auto note = last_notes(spool::read_log(*relay.spool, Box::queue, id)).at(0);
  CHECK(note.status == "4.7.1");
  CHECK(contains(note.reply, "greylisted"));
  CHECK(sink.count() == 0);
  relay.clock.advance(std::chrono::seconds(70));
  REQUIRE(relay.until([&] { return sink.count() == 1 && relay.count(Box::queue) == 0; }));
  CHECK_FALSE(relay.spool->disk().stat(relay.spool->directory(Box::queue), id.text() + ".log"));
}

TEST_CASE("a host that is down costs one attempt per destination; then a warning, then a bounce") {
  Relay relay;
  relay.settings.relay.routes["far.example"] = "127.0.0.1:1";
  relay.start();
  for (int i = 0; i < 5; ++i) relay.put({concat({"u", decimal(i), "@far.example"})}, "ann@home.example");
  relay.until([&] { return relay.manager->messages() == 5; });
  relay.until([] { return false; }, std::chrono::milliseconds(300));
  CHECK(relay.count(Box::local) == 0);
  relay.clock.advance(std::chrono::hours(5));
  REQUIRE(relay.until([&] { return relay.count(Box::local) == 5; }));
  for (const auto& warning : relay.all(Box::local)) CHECK(contains(warning.content(), "Action: delayed"));
  CHECK(relay.count(Box::queue) == 5);
  relay.clock.advance(std::chrono::hours(24 * 6));
  REQUIRE(relay.until([&] { return relay.count(Box::local) == 10 && relay.count(Box::queue) == 0; }));
}

TEST_CASE("the next MX is tried when the first is down; a domain that does not exist bounces") {
  Sink sink;
  Relay relay;
  relay.settings.relay.port = sink.port;
  relay.start();
  net::DnsAnswer mx;
  mx.mx = {{10, "down.far.example"}, {20, "up.far.example"}};
  relay.resolver.add(net::DnsType::mx, "far.example", mx);
  net::DnsAnswer down, up;
  down.addresses = {*IpAddress::parse("127.0.0.99")};
  up.addresses = {*IpAddress::parse("127.0.0.1")};
  relay.resolver.add(net::DnsType::a, "down.far.example", down);
  relay.resolver.add(net::DnsType::a, "up.far.example", up);
  // Port 25 alone makes a loopback address "us".
  relay.put({"bob@far.example"}, "ann@home.example");
  relay.put({"bob@nowhere.example"}, "ann@home.example");
  REQUIRE(
      relay.until([&] { return sink.count() == 1 && relay.count(Box::local) == 1 && relay.count(Box::queue) == 0; }));
  CHECK(contains(relay.all(Box::local)[0].content(), "Status: 5.1.2"));
}

TEST_CASE("an alias: local members get their own message, the remote ones are sent") {
  Sink sink;
  Relay relay;
  relay.route("far.example", sink);
  relay.start();
  relay.put({"list@home.example", "zoe@far.example", "nobody@home.example"}, "ann@home.example");
  REQUIRE(
      relay.until([&] { return relay.count(Box::queue) == 0 && sink.count() == 2 && relay.count(Box::local) == 2; }));
  bool bounce = false, mail = false;
  for (const auto& m : relay.all(Box::local)) (contains(m.content(), "multipart/report") ? bounce : mail) = true;
  CHECK(bounce);
  CHECK(mail);
}

TEST_CASE("drop: the owner of the file is the sender, local and remote are split, the file goes") {
  Sink sink;
  Relay relay;
  relay.route("far.example", sink);
  relay.start();
  spool::Envelope e;
  e.id = MessageId::generate();
  e.arrival = relay.clock.now();
  e.reverse_path = "root";
  e.recipients = {{.forward_path = "ann"}, {.forward_path = "bob@far.example"}};
  REQUIRE(spool::drop(*relay.spool, e, "Subject: dropped\r\n\r\nx\r\n"));
  REQUIRE(
      relay.until([&] { return sink.count() == 1 && relay.count(Box::local) == 1 && relay.count(Box::queue) == 0; }));
  CHECK(relay.spool->disk().list(relay.spool->directory(Box::drop))->empty());
  const auto local = relay.all(Box::local);
  CHECK(local[0].envelope().reverse_path == "root@mx.home.example");
  CHECK(local[0].envelope().client_address == concat({"uid:", decimal(::getuid())}));
  CHECK(contains(local[0].content(), "Message-ID: <"));
  CHECK(contains(local[0].content(), "Subject: dropped\r\n"));
}

TEST_CASE("too many Received fields are a loop") {
  Relay relay;
  Sink sink;
  relay.route("far.example", sink);
  relay.start();
  std::string content;
  for (int i = 0; i < 60; ++i) content += "Received: from a by b; Sun, 22 Nov 2026 03:00:00 +0000\r\n";
  relay.put({"bob@far.example"}, "ann@home.example", content + "Subject: x\r\n\r\n");
  REQUIRE(relay.until([&] { return relay.count(Box::local) == 1 && relay.count(Box::queue) == 0; }));
  CHECK(contains(relay.all(Box::local)[0].content(), "Status: 5.4.6"));
  CHECK(sink.count() == 0);
}

TEST_CASE("NOTIFY=SUCCESS without DSN at the peer: relayed is reported by us; NEVER stays silent") {
  Sink sink([](const std::string& line) { return contains(line, "TO:<bad") ? "550 5.1.1 no" : ""; });
  Relay relay;
  relay.route("far.example", sink);
  relay.start();
  spool::Envelope e;
  e.id = MessageId::generate();
  e.arrival = relay.clock.now();
  e.reverse_path = "ann@home.example";
  e.recipients = {{.forward_path = "bob@far.example", .notify = {.success = true}},
                  {.forward_path = "bad@far.example", .notify = {.never = true}}};
  relay.put(e);
  REQUIRE(relay.until([&] { return relay.count(Box::local) == 1 && relay.count(Box::queue) == 0; }));
  CHECK(contains(relay.all(Box::local)[0].content(), "Action: relayed"));
}

TEST_CASE("a damaged file is set aside, a foreign one left alone") {
  Relay relay;
  relay.start();
  const auto id = relay.put({"bob@far.example"});
  relay.manager.reset();
  REQUIRE(::truncate((relay.spool->directory(Box::queue).path() + "/" + id.text()).c_str(), 100) == 0);
  std::ofstream(relay.spool->directory(Box::queue).path() + "/README") << "x";
  relay.begin();
  REQUIRE(relay.until([&] { return relay.count(Box::corrupt) == 1; }));
  CHECK(relay.spool->disk().stat(relay.spool->directory(Box::queue), "README"));
}

TEST_CASE("a reply to the dot that never comes keeps the message") {
  Sink sink([](const std::string& line) { return line == "." ? "close" : ""; });
  Relay relay;
  relay.route("far.example", sink);
  relay.start();
  const auto id = relay.put({"bob@far.example"});
  REQUIRE(relay.until([&] {
    const auto envelope = spool::read_envelope(*relay.spool, Box::queue, id);
    return envelope && envelope->attempts == 1;
  }));
  CHECK(relay.count(Box::queue) == 1);
}

TEST_CASE("stopping lets transactions end") {
  Sink sink;
  Relay relay;
  relay.route("far.example", sink);
  relay.start();
  for (int i = 0; i < 50; ++i) relay.put({"u@far.example"});
  relay.until([&] { return sink.count() > 5; });
  bool stopped = false;
  relay.manager->stop([&] { stopped = true; });
  REQUIRE(relay.until([&] { return stopped; }));
  CHECK(sink.count() + relay.count(Box::queue) == 50);
}

TEST_CASE("retry times grow to their limit, a tenth more or less") {
  using std::chrono::seconds;
  CHECK(retry_after(seconds(60), seconds(14400), 1) >= 54);
  CHECK(retry_after(seconds(60), seconds(14400), 1) <= 66);
  CHECK(retry_after(seconds(60), seconds(14400), 3) >= 216);
  CHECK(retry_after(seconds(60), seconds(14400), 60000) <= 15840);
}

TEST_CASE("lanes: one sender's thousand does not delay another's one") {
  Lanes lanes;
  Job job;
  for (std::uint32_t i = 0; i < 1000; ++i) {
    job.arrival = i;
    job.lane = 1;
    lanes.push(job);
  }
  job.lane = 2;
  job.arrival = 5000;
  lanes.push(job);
  (void)lanes.pop();
  const auto second = lanes.pop(), third = lanes.pop();
  CHECK((second->arrival == 5000 || third->arrival == 5000));
  Seconds last = 0;
  while (const auto next = lanes.pop()) {
    CHECK(next->arrival >= last);
    last = next->arrival;
  }
  CHECK(lanes.empty());
}
