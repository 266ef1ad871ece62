// What the queue manager holds in memory: jobs, destinations, times, texts.
#include "mta/relay/destination.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>
#include <set>

#include "base/strings.h"
#include "mta/relay/flat_set.h"

using namespace mail;
using namespace mail::relay;
using namespace std::chrono_literals;

namespace {

NextHop domain(const std::string& name) { return next_hop({}, {.domain = name, .transport = nullptr}); }

}  // namespace

TEST_CASE("an id in ten octets is the same id, and sorts as its text does") {
  std::vector<std::string> texts{"0000000000000000", "ZZZZZZZZZZZZZZZZ", "0123456789ABCDEF",
                                 "GHJKMNPQRSTVWXYZ", "0000000100000000", "00000000Z0000000"};
  for (int i = 0; i < 100; ++i) texts.push_back(MessageId::generate().text());
  std::vector<CompactId> ids;
  for (const auto& text : texts) ids.emplace_back(*MessageId::parse(text));
  for (std::size_t i = 0; i < ids.size(); ++i) CHECK(ids[i].id().text() == texts[i]);
  std::ranges::sort(ids);
  std::ranges::sort(texts);
  for (std::size_t i = 0; i < ids.size(); ++i) CHECK(ids[i].id().text() == texts[i]);
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

TEST_CASE("lanes: the highest priority first, and turns within it") {
  Lanes lanes;
  Job job;
  for (const auto& [precedence, lane] : {std::pair{9, 1}, {9, 1}, {9, 2}, {5, 3}, {12, 4}, {18, 5}}) {
    job.precedence = static_cast<std::uint8_t>(precedence) & 0x1fU;
    job.lane = static_cast<std::uint8_t>(lane);
    lanes.push(job);
  }
  std::vector<int> order;
  while (const auto next = lanes.pop()) order.push_back(next->lane);
  CHECK(order == std::vector<int>{5, 4, 1, 2, 1, 3});
}

TEST_CASE("an allowance comes back evenly, and is not saved up") {
  Allowance some(config::Rate{.count = 60, .time = 60s});
  const SteadyTime start(1h);
  CHECK(some.left(start) == 1);
  some.take();
  CHECK(some.left(start + 500ms) == 0);
  CHECK(some.left(start + 1001ms) == 1);
  some.take();
  CHECK(some.left(start + 100s) == 1);
  CHECK(some.full(start + 100s));
}

TEST_CASE("lanes: a few jobs have the same turns as many") {
  std::minstd_rand random(7);
  for (int round = 0; round < 50; ++round) {
    // The same jobs, once alone and once behind others that make the lanes many and are gone first.
    Lanes many;
    Job job;
    job.precedence = 18;
    for (int i = 0; i < 10; ++i) many.push(job);
    for (int i = 0; i < 10; ++i) (void)many.pop();
    Lanes other;
    other.push(job);
    (void)other.pop();  // the turn is where the other one's is
    for (std::uint32_t i = 0; i < 8; ++i) {
      job.arrival = i;
      job.lane = static_cast<std::uint8_t>(random() % 4);
      job.precedence = static_cast<std::uint8_t>(9 + random() % 2) & 0x1fU;
      other.push(job);
      many.push(job);
    }
    job.precedence = 0;
    for (int i = 0; i < 3; ++i) many.push(job);  // the last, whatever their lane
    for (int i = 0; i < 8; ++i) CHECK(other.pop()->arrival == many.pop()->arrival);
    CHECK(other.empty());
    CHECK(many.size() == 3);
  }
}

TEST_CASE("jobs are taken out of few and of many lanes, and of those that wait") {
  for (const std::uint32_t count : {3U, 8U, 9U, 500U}) {
    Lanes lanes;
    Deferred deferred;
    for (std::uint32_t i = 0; i < count; ++i) {
      Job job;
      job.arrival = i;
      job.next = 1000 - i;
      job.lane = static_cast<std::uint8_t>(i % 3);
      lanes.push(job);
      deferred.push(job);
    }
    const auto odd = [](const Job& job) { return job.arrival % 2 == 1; };
    CHECK(lanes.take_if(odd).size() == count / 2);
    CHECK(deferred.take_if(odd).size() == count / 2);
    CHECK(lanes.size() == count - count / 2);
    CHECK(deferred.size() == count - count / 2);
    while (const auto job = lanes.pop()) CHECK(job->arrival % 2 == 0);
    for (Seconds last = 0; !deferred.empty();) {
      const auto job = deferred.pop();
      CHECK(job.next >= last);
      last = job.next;
    }
  }
}

TEST_CASE("a flat set is a set") {
  struct Slot {
    std::unique_ptr<std::string> text;
    const std::string& key() const { return *text; }
    static std::size_t hash(const std::string& key) { return std::hash<std::string>{}(key)&0xfU; }  // many collide
    explicit operator bool() const { return text != nullptr; }
  };
  FlatSet<Slot> set;
  std::set<std::string> expected;
  CHECK_FALSE(set.contains("x"));
  CHECK_FALSE(set.erase("x"));
  std::minstd_rand random(11);
  for (int i = 0; i < 5000; ++i) {
    const auto key = decimal(random() % 60);
    if (random() % 2 == 0)
      CHECK(set.insert({std::make_unique<std::string>(key)}) == expected.insert(key).second);
    else
      CHECK(set.erase(key) == (expected.erase(key) > 0));
    CHECK(set.size() == expected.size());
    if (i % 50 != 0) continue;
    for (int k = 0; k < 60; ++k) CHECK(set.contains(decimal(k)) == expected.contains(decimal(k)));
    std::set<std::string> found;
    for (const auto& slot : set) found.insert(slot.key());
    CHECK(found == expected);
  }
}

TEST_CASE("the time table gives each destination once, at its time") {
  std::vector<std::unique_ptr<Destination>> all;
  TimeTable table;
  std::minstd_rand random(3);
  for (int i = 0; i < 300; ++i) {
    all.push_back(std::make_unique<Destination>(domain(concat({"d", decimal(i), ".example"})), std::nullopt));
    table.set(*all.back(), static_cast<Seconds>(1 + random() % 1000));
  }
  for (const auto& d : all)  // earlier, later, not at all
    if (random() % 2 == 0) table.set(*d, random() % 3 == 0 ? 0 : static_cast<Seconds>(1 + random() % 1000));
  auto left = std::ranges::count_if(all, [](const auto& d) { return d->wake != 0; });
  for (Seconds now = 0; now <= 1000; ++now) {
    const auto expected = std::ranges::count_if(all, [&](const auto& d) { return d->wake != 0 && d->wake <= now; });
    for (auto i = expected; i > 0; --i) REQUIRE(table.due(now) != nullptr);
    REQUIRE(table.due(now) == nullptr);
    left -= expected;
  }
  CHECK(left == 0);
  CHECK(std::ranges::all_of(all, [](const auto& d) { return d->wake == 0; }));
}

TEST_CASE("what many destinations say alike is kept once; there is an end to what is kept") {
  Words words;
  const auto of = [](const std::string& name) {
    return smtp::Reply{451, concat({"4.4.3 no answer about MX of ", name})};
  };
  const auto one = words.keep(of("one.example"), "one.example"), two = words.keep(of("two.example"), "two.example");
  CHECK(one == two);
  CHECK(Words::text(two, "two.example") == "451 4.4.3 no answer about MX of two.example");
  CHECK(Words::text(nullptr, "x").empty());
  std::vector<Words::Kept> kept;
  for (int i = 0; i < 20000; ++i)
    kept.push_back(words.keep({451, concat({"4.4.1 connect 192.0.2.", decimal(i)})}, "some.example"));
  CHECK(Words::text(kept[10], "some.example") == "451 4.4.1 connect 192.0.2.10");
  CHECK(Words::text(kept[19999], "some.example") == "451 4.4.1 (the log has more)");
  CHECK(kept[19998] == kept[19999]);
  kept.clear();  // room again, sooner or later
  for (int i = 0; i < 20000; ++i)
    kept.assign(1, words.keep({451, concat({"4.4.2 silence of ", decimal(i)})}, "some.example"));
  CHECK(Words::text(kept[0], "some.example") == "451 4.4.2 silence of 19999");
}

TEST_CASE("a destination that sleeps wakes up as what it was") {
  Destination plain(domain("far.example"), std::nullopt);
  CHECK(plain.particulars == nullptr);
  config::Relay settings;
  CHECK(plain.wake_up(settings).hop.key == "far.example");
  CHECK(plain.awake->hop.by_mx);
  plain.waits = true;
  plain.sleep_if_idle();
  CHECK(plain.awake != nullptr);
  plain.waits = false;
  plain.sleep_if_idle();
  CHECK(plain.awake == nullptr);
  CHECK(plain.allowance(SteadyTime{}) > 1'000'000);

  auto hop = domain("far.example");
  hop.tls = TlsMode::required;
  Destination beside(without_tls_policy(hop), config::Rate{.count = 1, .time = 60s});
  CHECK(beside.name() == "far.example");
  CHECK(beside.key == "far.example (TLS-Required: No)");
  CHECK(beside.wake_up(settings).hop.tls == TlsMode::opportunistic);
  CHECK(beside.awake->hop.host == "far.example");
  CHECK(beside.allowance(SteadyTime{} + 1h) == 1);
}
