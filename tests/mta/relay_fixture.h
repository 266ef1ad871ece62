// The queue manager over a real spool, with made-up DNS, in the test's own thread.
#pragma once
#include <catch2/catch.hpp>
#include <fstream>

#include "base/strings.h"
#include "directory/from_settings.h"
#include "mta/relay/manager.h"
#include "route/from_settings.h"
#include "tests/mta/sink.h"
#include "tests/support/fixtures.h"

namespace mail::test {

using spool::Box;

inline constexpr std::string_view kContent = "Subject: hello\r\nMessage-ID: <1@example.net>\r\n\r\nBody.\r\n";

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
  net::WorkerPool workers{2};
  std::unique_ptr<relay::Manager> manager;

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
    manager = std::make_unique<relay::Manager>(relay::Surroundings{.loop = *loop,
                                                                   .resolver = resolver,
                                                                   .settings = settings,
                                                                   .router = *router,
                                                                   .spool = *spool,
                                                                   .writer = *writer,
                                                                   .done = *done,
                                                                   .workers = workers,
                                                                   .clock = clock,
                                                                   .tls = {}});
    REQUIRE(manager->start());
  }
  ~Relay() {
    manager.reset();
    done.reset();
    writer.reset();
  }
  /// A new one that arrives now.
  spool::Envelope envelope(std::string reverse_path, const std::vector<std::string>& recipients) const {
    spool::Envelope e;
    e.id = MessageId::generate();
    e.arrival = clock.now();
    e.reverse_path = std::move(reverse_path);
    for (const auto& r : recipients) e.recipients.push_back({.forward_path = r});
    return e;
  }
  MessageId put(const std::vector<std::string>& recipients, std::string reverse_path = "sender@client.example",
                std::string_view content = kContent) {
    return put(envelope(std::move(reverse_path), recipients), content);
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
  /// As the spool file says; 0 where there is none.
  std::uint32_t attempts(const MessageId& id) const {
    const auto envelope = spool::read_envelope(*spool, Box::queue, id);
    return envelope ? envelope->attempts : 0;
  }
  std::size_t count(Box box) { return spool->list(box)->size(); }
};

inline bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

}  // namespace mail::test
