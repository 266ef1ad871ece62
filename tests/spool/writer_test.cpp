#include "spool/writer.h"

#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <future>
#include <thread>

#include "spool/done.h"
#include "spool/journal.h"
#include "spool/pool.h"
#include "spool/recovery.h"
#include "tests/spool/spool_helpers.h"
#include "tests/support/faulty_disk.h"
#include "tests/support/fixtures.h"

using namespace mail;
using namespace mail::spool;
using mail::test::contents_of;
using mail::test::envelope_for;
using mail::test::FaultyDisk;
using mail::test::Loss;
using mail::test::message_of;
using mail::test::TemporaryDirectory;

namespace {
constexpr WriterOptions kSmall{
    .small_message_octets = 2000, .segment_octets = 64 * 1024, .most_segments = 4, .sync_threads = 2};
}

TEST_CASE("messages of many threads are there, whole, once each") {
  TemporaryDirectory temporary;
  auto spool = Spool::open(temporary / "spool");
  REQUIRE(spool);
  std::atomic<int> acknowledged = 0;
  {
    auto writer = Writer::open(*spool, "test", kSmall);
    REQUIRE(writer);
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t)
      threads.emplace_back([&, t] {
        for (int i = 0; i < 40; ++i)
          if ((*writer)->put({{Box::queue, envelope_for({"a@example.org"})}},
                             message_of(static_cast<std::size_t>(100 * t * (i % 10) + 1))))
            ++acknowledged;
      });
    for (auto& thread : threads) thread.join();
  }
  CHECK(acknowledged == 320);
  const auto found = contents_of(*spool, Box::queue);
  CHECK(found.size() == 320);
  CHECK(std::ranges::count(found, "damaged") == 0);
  CHECK(spool->disk().list(spool->directory(Box::tmp))->empty());
  CHECK(live_segments(*spool)->empty());  // a clean end leaves nothing to recover
}

TEST_CASE("one transaction for two boxes; the envelopes may change before commit") {
  TemporaryDirectory temporary;
  auto spool = Spool::open(temporary / "spool");
  auto writer = Writer::open(*spool, "test", kSmall);
  for (const std::size_t octets : {100U, 300'000U}) {
    for (const bool change : {false, true}) {
      const auto id = MessageId::generate();
      auto message = (*writer)->begin({{Box::local, envelope_for({"a@example.org"}, id)}});
      message->append(message_of(octets));
      if (change)
        message->set_entries(
            {{Box::local, envelope_for({"a@example.org"}, id)}, {Box::queue, envelope_for({"b@example.net"}, id)}});
      std::atomic<int> called = 0;
      Incoming::commit(std::move(message), [&](Status status) { called = status ? 1 : 2; });
      while (called == 0) std::this_thread::yield();
      CHECK(called == 1);
      const auto local = StoredMessage::open(*spool, Box::local, id);
      REQUIRE(local);
      CHECK(local->content() == message_of(octets));
      const auto queue = StoredMessage::open(*spool, Box::queue, id);
      CHECK(queue.has_value() == change);
      if (queue) CHECK(queue->content() == message_of(octets));
      if (queue) CHECK(queue->envelope().recipients[0].forward_path == "b@example.net");
    }
  }
  CHECK(spool->disk().list(spool->directory(Box::tmp))->empty());
}

TEST_CASE("a message that is dropped leaves nothing; one for nobody is refused") {
  TemporaryDirectory temporary;
  auto spool = Spool::open(temporary / "spool");
  auto writer = Writer::open(*spool, "test", kSmall);
  for (const std::size_t octets : {100U, 300'000U})
    (*writer)->begin({{Box::local, envelope_for({"a@example.org"})}})->append(message_of(octets));
  CHECK(spool->disk().list(spool->directory(Box::tmp))->empty());
  CHECK_FALSE((*writer)->put({}, "x"));
}

TEST_CASE("a second writer of the same name is refused in one clear line") {
  TemporaryDirectory temporary;
  auto spool = Spool::open(temporary / "spool");
  auto writer = Writer::open(*spool, "serve", kSmall);
  auto second = Writer::open(*spool, "serve", kSmall);
  REQUIRE_FALSE(second);
  CHECK(second.error().kind == Error::Kind::refused);
  CHECK(second.error().text.find("another serve is using the spool") != std::string::npos);
  CHECK(Writer::open(*spool, "relay", kSmall));
}

TEST_CASE("a killed writer's messages come back, unless they are done") {
  TemporaryDirectory temporary;
  FaultyDisk disk(temporary.path().string());
  std::vector<MessageId> ids;
  {
    auto spool = Spool::open(temporary / "spool", {}, disk);
    auto writer = Writer::open(*spool, "serve", kSmall);
    for (int i = 0; i < 4; ++i) {
      ids.push_back(MessageId::generate());
      REQUIRE((*writer)->put({{Box::queue, envelope_for({"a@example.org", "b@example.org"}, ids.back())}},
                             message_of(i == 3 ? 5000 : 100)));
    }
    auto done = DoneJournal::open(*spool, "relay", 4096);
    REQUIRE(done);
    REQUIRE((*done)->note(Box::queue, ids[0]));
    REQUIRE((*done)->note(Box::queue, ids[1], 0));
    REQUIRE((*done)->sync());
    REQUIRE(remove(*spool, Box::queue, ids[0]));
    // What the clean end of the writer does is not allowed to reach the disk: the process was killed.
    disk.cut_power();
  }
  disk.lose_power();
  auto spool = Spool::open(temporary / "spool", {}, disk);
  const auto recovered = recover(*spool);
  REQUIRE(recovered);
  CHECK(recovered->records == 4);
  CHECK(recovered->put_back == 3);
  CHECK_FALSE(spool->exists(Box::queue, ids[0]));
  const auto half = StoredMessage::open(*spool, Box::queue, ids[1]);
  REQUIRE(half);
  CHECK(half->envelope().recipients[0].state == RecipientState::delivered);
  CHECK(half->envelope().recipients[1].state == RecipientState::waiting);
  CHECK(StoredMessage::open(*spool, Box::queue, ids[2]));
  CHECK(StoredMessage::open(*spool, Box::queue, ids[3])->content() == message_of(5000));
  CHECK(recover(*spool)->put_back == 0);
}

TEST_CASE("notes are applied to files that a power cut brought back, and pruned when no segment needs them") {
  TemporaryDirectory temporary;
  auto spool = Spool::open(temporary / "spool");
  const auto whole = envelope_for({"a@example.org"}), part = envelope_for({"a@example.org", "b@example.org"});
  {
    auto writer = Writer::open(*spool, "serve", kSmall);
    REQUIRE((*writer)->put({{Box::local, whole}}, "x"));
    REQUIRE((*writer)->put({{Box::local, part}}, "x"));
    auto done = DoneJournal::open(*spool, "mda", 4096);
    REQUIRE((*done)->note(Box::local, whole.id));
    REQUIRE((*done)->note(Box::local, part.id, 1));
    for (int i = 0; i < 300; ++i) REQUIRE((*done)->note(Box::local, MessageId::generate()));  // several files
    CHECK_FALSE(DoneJournal::open(*spool, "mda"));
  }
  auto done = DoneJournal::open(*spool, "mda", 4096);
  REQUIRE(done);
  CHECK_FALSE(spool->exists(Box::local, whole.id));
  CHECK(read_envelope(*spool, Box::local, part.id)->recipients[1].state == RecipientState::delivered);
  CHECK(DoneSet::load(*spool)->empty());
}

namespace {

/// Returns when the one who waits is told, which is before the names are given.
Status put_early(Writer& writer, std::vector<Entry> entries, std::string_view content, CommitDone named = {}) {
  auto message = writer.begin(std::move(entries));
  message->append(content);
  std::promise<Status> promise;
  Incoming::commit(std::move(message), std::move(named), [&](Status status) { promise.set_value(std::move(status)); });
  return promise.get_future().get();
}

/// Submits three messages on a disk that stops after `calls`; true where all was done before it stopped.
/// @param early  acknowledged when it is durable, before it has its names
bool submit_and_crash(int calls, int error, Loss loss, bool early) {
  TemporaryDirectory temporary;
  FaultyDisk disk(temporary.path().string(), calls, error);
  const auto a = MessageId::generate(), b = MessageId::generate(), c = MessageId::generate();
  bool acknowledged[3] = {};
  bool stopped = false;
  {
    auto spool = Spool::open(temporary / "spool", {}, disk);
    if (spool) {
      auto writer = Writer::open(*spool, "serve", kSmall);
      if (writer) {
        const auto put = [&](std::vector<Entry> entries, std::size_t octets) {
          return early ? put_early(**writer, std::move(entries), message_of(octets))
                       : (*writer)->put(std::move(entries), message_of(octets));
        };
        acknowledged[0] = put({{Box::queue, envelope_for({"a@example.org"}, a)}}, 500).has_value();
        acknowledged[1] =
            put({{Box::local, envelope_for({"b@example.org"}, b)}, {Box::queue, envelope_for({"c@example.org"}, b)}},
                600)
                .has_value();
        acknowledged[2] =
            put({{Box::local, envelope_for({"d@example.org"}, c)}, {Box::queue, envelope_for({"e@example.org"}, c)}},
                9000)
                .has_value();
        if (early) writer->reset();
        if (error != 0) {
          // The disk works again: nothing may be half there before any recovery.
          for (const auto box : {Box::queue, Box::local})
            for (const auto& content : contents_of(*spool, box)) CHECK(content != "damaged");
          const MessageId ids[3] = {a, b, c};
          for (int i = 0; i < 3; ++i) {
            const bool there = spool->exists(Box::queue, ids[i]) || spool->exists(Box::local, ids[i]);
            if (there || !early) CHECK(there == acknowledged[i]);  // else the journal has it
          }
        }
      }
    }
    stopped = disk.stopped();
  }
  if (error == 0)
    disk.lose_power(loss);
  else
    disk.heal();
  auto spool = Spool::open(temporary / "spool", {}, disk);
  INFO((spool ? "" : spool.error().text));
  REQUIRE(spool);
  const auto recovered = recover(*spool);
  INFO((recovered ? "" : recovered.error().text));
  REQUIRE(recovered);
  const auto whole = [&](Box box, const MessageId& id, std::size_t octets) {
    const auto message = StoredMessage::open(*spool, box, id);
    if (message) CHECK(message->content() == message_of(octets));
    if (!message && message.error().kind == Error::Kind::syntax) REQUIRE(set_aside(*spool, box, id, "torn"));
    return message.has_value();
  };
  const bool there[5] = {whole(Box::queue, a, 500), whole(Box::local, b, 600), whole(Box::queue, b, 600),
                         whole(Box::local, c, 9000), whole(Box::queue, c, 9000)};
  INFO("calls " << calls << " error " << error << " loss " << static_cast<int>(loss));
  if (acknowledged[0]) CHECK(there[0]);
  if (acknowledged[1]) CHECK((there[1] && there[2]));
  if (acknowledged[2]) CHECK((there[3] && there[4]));
  if (loss == Loss::all) {
    CHECK(there[1] == there[2]);
    CHECK(there[3] == there[4]);
  }
  return !stopped;
}

}  // namespace

TEST_CASE("power lost after any call: what was acknowledged is there once, in all its boxes") {
  for (const auto loss : {Loss::all, Loss::data, Loss::half_data})
    for (const bool early : {false, true})
      for (int calls = 0; !submit_and_crash(calls, 0, loss, early); ++calls) REQUIRE(calls < 2000);
}

TEST_CASE("any call failing once: a temporary error or success, nothing half") {
  for (const int error : {ENOSPC, EIO, EMFILE})
    for (const bool early : {false, true})
      for (int calls = 0; !submit_and_crash(calls, error, Loss::all, early); ++calls) REQUIRE(calls < 2000);
}

TEST_CASE("a name that cannot be given: who was told is told the truth, and nobody else is told before") {
  TemporaryDirectory temporary;
  FaultyDisk disk(temporary.path().string());
  auto spool = Spool::open(temporary / "spool", {}, disk);
  auto writer = Writer::open(*spool, "serve", kSmall);
  const auto local = [](const MessageId& id) {
    return std::vector<Entry>{{Box::local, envelope_for({"a@example.org"}, id)}};
  };
  const auto a = MessageId::generate();
  disk.refuse_names_in(spool->directory(Box::local).path());
  std::promise<Status> named;
  REQUIRE(put_early(**writer, local(a), "a", [&](Status status) { named.set_value(std::move(status)); }));
  CHECK_FALSE(spool->exists(Box::local, a));
  // Meanwhile it is no secret that mail cannot be taken. (The first may be told before the naming has failed.)
  Status refused;
  MessageId told = a;
  for (int i = 0; i < 1000 && refused; ++i) {
    told = MessageId::generate();
    refused = put_early(**writer, local(told), "b");
  }
  CHECK_FALSE(refused);
  SECTION("room again: it gets its name") {
    disk.refuse_names_in("");
    CHECK(named.get_future().get());
    CHECK(StoredMessage::open(*spool, Box::local, a)->content() == "a");
    CHECK_FALSE(spool->exists(Box::local, told));
  }
  SECTION("the end comes first: the journal has it") {
    writer->reset();
    CHECK_FALSE(spool->exists(Box::local, a));
    disk.refuse_names_in("");
    REQUIRE(recover(*spool)->put_back >= 1);
    CHECK(StoredMessage::open(*spool, Box::local, a)->content() == "a");
    CHECK_FALSE(spool->exists(Box::local, told));
  }
  SECTION("somebody removes the file meanwhile: another is written") {
    const auto names = spool->disk().list(spool->directory(Box::tmp));
    for (const auto& name : *names) REQUIRE(spool->disk().unlink(spool->directory(Box::tmp), name));
    disk.refuse_names_in("");
    CHECK(named.get_future().get());
    CHECK(StoredMessage::open(*spool, Box::local, a)->content() == "a");
  }
}

TEST_CASE("the file of a message that is done serves the next one of its size") {
  TemporaryDirectory temporary;
  auto spool = Spool::open(temporary / "spool");
  const auto inode = [&](const MessageId& id) {
    return spool->disk().stat(spool->directory(Box::local), id.text())->st_ino;
  };
  const auto put = [&](std::size_t octets) {
    const auto id = MessageId::generate();
    auto writer = Writer::open(*spool, "serve", kSmall);
    REQUIRE((*writer)->put({{Box::local, envelope_for({"a@example.org"}, id)}}, message_of(octets)));
    const auto stored = StoredMessage::open(*spool, Box::local, id);
    REQUIRE(stored);
    CHECK(stored->content() == message_of(octets));
    return id;
  };
  const auto first = put(900);
  const auto file = inode(first);
  Recycler recycler(*spool, "serve");
  REQUIRE(recycler.remove(Box::local, first));
  CHECK_FALSE(spool->exists(Box::local, first));
  const auto second = put(300);
  CHECK(inode(second) == file);
  // What an operator has linked elsewhere is not written over.
  REQUIRE(spool->disk().link(spool->directory(Box::local), second.text(), spool->directory(Box::hold), second.text()));
  REQUIRE(recycler.remove(Box::local, second));
  const auto third = put(300);
  CHECK(inode(third) != file);
  CHECK(StoredMessage::open(*spool, Box::hold, second)->content() == message_of(300));
  // Nothing to give it to: the file goes.
  Recycler nowhere(*spool, "nobody");
  REQUIRE(nowhere.remove(Box::local, third));
  CHECK_FALSE(spool->exists(Box::local, third));
  REQUIRE(nowhere.remove(Box::local, third));
}

TEST_CASE(
    "power lost after any call while files are used again: nothing is lost, and nothing that is done comes back") {
  for (const auto loss : {Loss::all, Loss::data, Loss::half_data})
    for (int calls = 0;; calls += 2) {
      INFO("calls " << calls << " loss " << static_cast<int>(loss));
      TemporaryDirectory temporary;
      FaultyDisk disk(temporary.path().string(), calls);
      const auto a = MessageId::generate(), b = MessageId::generate(), c = MessageId::generate();
      bool acknowledged[3] = {}, removed = false, all_done = false;
      const auto put = [&](const Spool& spool, const MessageId& id, std::size_t octets) {
        auto writer = Writer::open(spool, "serve", kSmall);
        return writer && (*writer)->put({{Box::local, envelope_for({"a@example.org"}, id)}}, message_of(octets));
      };
      {
        auto spool = Spool::open(temporary / "spool", {}, disk);
        if (spool) {
          acknowledged[0] = put(*spool, a, 900);
          if (auto done = DoneJournal::open(*spool, "mda", 4096); done && acknowledged[0]) {
            Recycler recycler(*spool, "serve");
            removed = (*done)->note(Box::local, a) && (*done)->sync() && recycler.remove(Box::local, a);
          }
          acknowledged[1] = put(*spool, b, 300);
          acknowledged[2] = put(*spool, c, 1200);
        }
        all_done = !disk.stopped();
      }
      disk.lose_power(loss);
      auto spool = Spool::open(temporary / "spool", {}, disk);
      REQUIRE(spool);
      REQUIRE(recover(*spool));
      REQUIRE(DoneJournal::open(*spool, "mda", 4096));
      if (removed) CHECK_FALSE(spool->exists(Box::local, a));
      if (!removed && acknowledged[0] && spool->exists(Box::local, a))
        CHECK(StoredMessage::open(*spool, Box::local, a)->content() == message_of(900));
      for (const auto& [id, octets, known] : {std::tuple{b, 300U, acknowledged[1]}, {c, 1200U, acknowledged[2]}}) {
        if (!known) continue;
        const auto stored = StoredMessage::open(*spool, Box::local, id);
        REQUIRE(stored);
        CHECK(stored->content() == message_of(octets));
      }
      if (all_done) break;
      REQUIRE(calls < 1000);
    }
}
