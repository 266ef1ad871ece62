#include "net/loop.h"

#include <csignal>

#include "base/alive.h"
#include "net/worker_pool.h"
#include "tests/net/pair.h"

using namespace mail;
using namespace mail::test;

TEST_CASE("posted tasks run in their order, from any thread") {
  auto loop = std::move(*Loop::open());
  std::vector<int> seen;
  std::thread other([&] {
    for (int i = 0; i < 1000; ++i) loop->post([&, i] { seen.push_back(i); });
    loop->post([&] { loop->stop(); });
  });
  loop->run();
  other.join();
  REQUIRE(seen.size() == 1000);
  CHECK(std::is_sorted(seen.begin(), seen.end()));
}

TEST_CASE("deferred tasks run at the end of the batch; what they defer waits for the next one") {
  auto loop = std::move(*Loop::open());
  std::string order;
  loop->post([&] {
    loop->defer([&] {
      order += "c";
      loop->defer([&] { order += "d"; });
    });
    order += "a";
  });
  loop->post([&] { order += "b"; });
  loop->run_once(10ms);
  CHECK(order == "abc");
  loop->run_once(10ms);
  CHECK(order == "abcd");
}

TEST_CASE("timers: once, again and again, cancelled, destroyed in their own callback") {
  auto loop = std::move(*Loop::open());
  int once = 0;
  int often = 0;
  int never = 0;
  Timer a(*loop, [&] { ++once; });
  Timer b(*loop, [&] { ++often; });
  Timer c(*loop, [&] { ++never; });
  std::unique_ptr<Timer> d;
  d = std::make_unique<Timer>(*loop, [&] { d.reset(); });
  a.start(1ms);
  b.repeat(2ms);
  c.start(1ms);
  c.cancel();
  d->start(1ms);
  CHECK(a.pending());
  run_until(*loop, [&] { return often >= 3; });
  CHECK(once == 1);
  CHECK(never == 0);
  CHECK_FALSE(d);
  CHECK_FALSE(a.pending());
}

TEST_CASE("signals come to the loop") {
  auto loop = std::move(*Loop::open());
  int seen = 0;
  SignalWatch watch(*loop, SIGUSR1, [&] { ++seen; });
  raise(SIGUSR1);
  run_until(*loop, [&] { return seen == 1; });
}

TEST_CASE("a worker's result comes back to its loop; guarded callbacks die with their owner") {
  auto loops = std::move(*Loops::open(3));
  WorkerPool pool(4);
  std::atomic<int> sum{0};
  std::atomic<int> wrong{0};
  int on_first = 0;
  auto owner = std::make_unique<Alive>();
  loops->first().post([&] {
    pool.submit(
        loops->first(), [] { return 1; }, owner->guard([&](int) { on_first = 1; }));
    owner.reset();
    for (int i = 0; i < 300; ++i) {
      Loop& loop = loops->next();
      pool.submit(
          loop, [i] { return std::make_unique<int>(i); },
          [&](std::unique_ptr<int> result) {
            if (!loop.in_thread()) ++wrong;
            if ((sum += *result) == 299 * 300 / 2) loops->stop();
          });
    }
  });
  loops->run();
  CHECK(wrong == 0);
  CHECK(on_first == 0);
  CHECK(sum == 299 * 300 / 2);
}

TEST_CASE("many loops post to each other") {
  auto loops = std::move(*Loops::open(4));
  std::atomic<int> hops{0};
  std::function<void(int)> hop = [&](int left) {
    if (++hops == 4000) loops->stop();
    if (left > 0) loops->next().post([&hop, left] { hop(left - 1); });
  };
  for (int i = 0; i < 4; ++i) loops->at(static_cast<std::size_t>(i)).post([&hop] { hop(999); });
  loops->run();
  CHECK(hops >= 4000);
}
