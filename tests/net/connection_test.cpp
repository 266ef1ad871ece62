#include "net/connection.h"

#include <sys/ioctl.h>

#include "tests/net/pair.h"

using namespace mail;
using namespace mail::test;

TEST_CASE("what one side writes in one batch comes in one piece") {
  Pair pair;
  int pieces = 0;
  pair.at_b.each = [&](std::string_view) { ++pieces; };
  pair.a->write("EHLO ");
  pair.a->write(std::string("client.example\r\n"));
  pair.a->write(std::string_view("QUIT\r\n"));
  CHECK(pair.a->pending_output() == 27);
  run_until(*pair.loop, [&] { return pair.at_b.octets.size() == 27; });
  CHECK(pair.at_b.octets == "EHLO client.example\r\nQUIT\r\n");
  CHECK(pieces == 1);
  CHECK(pair.a->pending_output() == 0);
  CHECK(pair.a->octets_written() == 27);
  CHECK(pair.b->octets_read() == 27);
}

TEST_CASE("a reply written inside on_octets goes out when the handler returns") {
  Pair pair;
  pair.at_b.each = [&](std::string_view got) { pair.b->write("re: " + std::string(got)); };
  pair.a->write("x");
  run_until(*pair.loop, [&] { return pair.at_a.octets == "re: x"; });
}

TEST_CASE("ten megabytes arrive whole, with a reader that pauses") {
  Pair pair;
  std::string big(10'000'000, '\0');
  for (std::size_t i = 0; i < big.size(); ++i) big[i] = static_cast<char>(i * 7 + i / 251);
  pair.at_b.each = [&](std::string_view) {
    pair.b->pause_reading();
    pair.loop->post([&] { pair.b->resume_reading(); });
  };
  pair.a->write(std::string(big));
  CHECK(pair.a->above_high_water());
  run_until(*pair.loop, [&] { return pair.at_b.octets.size() == big.size(); });
  CHECK(pair.at_b.octets == big);
  run_until(*pair.loop, [&] { return pair.at_a.drained == 1; });
}

TEST_CASE("above the high-water mark reading pauses until the output has drained") {
  Pair pair;
  pair.b->set_water_marks(1000, 100'000);
  std::size_t answered = 0;
  pair.at_b.each = [&](std::string_view got) {
    answered += got.size();
    pair.b->write(std::string(1'000'000, 'y'));
  };
  pair.a->pause_reading();  // the peer never reads the answers
  pair.a->write("1");
  run_until(*pair.loop, [&] { return answered == 1; });
  pair.a->write("2");
  run_for(*pair.loop, 50ms);
  CHECK(answered == 1);
  pair.a->resume_reading();
  run_until(*pair.loop, [&] { return answered == 2; });
  run_until(*pair.loop, [&] { return pair.at_a.octets.size() == 2'000'000; });
}

TEST_CASE("want_drained produces a long answer piece by piece") {
  Pair pair;
  struct Producer : Recorder {
    Connection* connection = nullptr;
    int left = 1000;
    std::size_t most = 0;
    void on_drained() override {
      most = std::max(most, connection->pending_output());
      if (left-- > 0) {
        connection->write(std::string(10'000, 'p'));
        connection->want_drained();
      }
    }
  } producer;
  producer.connection = pair.b.get();
  pair.b->set_handler(&producer);
  pair.b->want_drained();
  run_until(*pair.loop, [&] { return pair.at_a.octets.size() == 10'000'000; });
  CHECK(producer.most <= 16 * 1024);
}

TEST_CASE("orderly ends") {
  Pair pair;
  SECTION("close_when_written: all arrives, then FIN; our side ends when the peer closes") {
    pair.a->write(std::string(3'000'000, 'z'));
    pair.a->close_when_written();
    pair.a->write("never");
    run_until(*pair.loop, [&] { return pair.at_b.closed.has_value(); });
    CHECK(pair.at_b.octets == std::string(3'000'000, 'z'));
    CHECK(*pair.at_b.closed == CloseReason::peer_closed);
    run_until(*pair.loop, [&] { return pair.at_a.closed.has_value(); });
    CHECK(*pair.at_a.closed == CloseReason::closed_here);
    CHECK_FALSE(pair.a->is_open());
  }
  SECTION("a FIN from the peer: what is queued still goes out") {
    pair.at_b.each = [&](std::string_view) { pair.b->write("221 bye\r\n"); };
    pair.a->write("QUIT\r\n");
    pair.a->close_when_written();
    run_until(*pair.loop, [&] { return pair.at_b.closed.has_value(); });
    CHECK(pair.at_b.fin);
  }
  SECTION("a handler may stay after the FIN and answer later") {
    pair.at_b.stays_after_fin = true;
    REQUIRE(shutdown(pair.a->fd(), SHUT_WR) == 0);
    run_until(*pair.loop, [&] { return pair.at_b.fin; });
    run_for(*pair.loop, 30ms);
    CHECK_FALSE(pair.at_b.closed);
    pair.b->write("late");
    pair.b->close_when_written();
    run_until(*pair.loop, [&] { return pair.at_b.closed.has_value(); });
    run_until(*pair.loop, [&] { return pair.at_a.octets == "late"; });
    CHECK(*pair.at_b.closed == CloseReason::closed_here);
  }
  SECTION("octets that come after close_when_written are not handed out") {
    pair.b->close_when_written();
    pair.a->write("more");
    run_until(*pair.loop, [&] { return pair.at_a.closed.has_value(); });
    CHECK(pair.at_b.octets.empty());
  }
  SECTION("abort tells nobody here") {
    pair.a->abort();
    run_until(*pair.loop, [&] { return pair.at_b.closed.has_value(); });
    CHECK_FALSE(pair.at_a.closed);
  }
}

TEST_CASE("a peer that never closes is given up two seconds after our FIN") {
  Pair pair;
  pair.b->pause_reading();
  pair.a->close_when_written();
  const auto start = std::chrono::steady_clock::now();
  run_until(*pair.loop, [&] { return pair.at_a.closed.has_value(); });
  CHECK(std::chrono::steady_clock::now() - start > 1900ms);
}

TEST_CASE("time limits") {
  Pair pair;
  SECTION("without a function the connection closes") {
    pair.a->set_timeout(20ms);
    run_until(*pair.loop, [&] { return pair.at_a.closed.has_value(); });
    CHECK(*pair.at_a.closed == CloseReason::timeout);
  }
  SECTION("with one it is called, and may say goodbye") {
    pair.a->set_timeout(20ms, [&] {
      pair.a->write("421 too slow\r\n");
      pair.a->close_when_written();
    });
    run_until(*pair.loop, [&] { return pair.at_b.octets == "421 too slow\r\n"; });
  }
  SECTION("a later limit replaces an earlier one, and clear_timeout ends it") {
    int fired = 0;
    pair.a->set_timeout(10ms, [&] { fired = 1; });
    pair.a->set_timeout(60ms, [&] { fired = 2; });
    run_for(*pair.loop, 35ms);
    CHECK(fired == 0);
    run_until(*pair.loop, [&] { return fired == 2; });
    pair.a->set_timeout(10ms, [&] { fired = 3; });
    pair.a->clear_timeout();
    run_for(*pair.loop, 40ms);
    CHECK(fired == 2);
    CHECK_FALSE(pair.at_a.closed);
  }
  SECTION("the function may destroy the connection") {
    pair.a->set_timeout(5ms, [&] { pair.a.reset(); });
    run_until(*pair.loop, [&] { return pair.at_b.closed.has_value(); });
  }
  SECTION("a trickle below the least rate counts as a timeout, a faster peer does not") {
    pair.b->set_least_rate(1000, 50ms);
    Timer trickle(*pair.loop, [&] { pair.a->write("."); });
    bool fast = true;
    Timer flood(*pair.loop, [&] {
      if (fast) pair.a->write(std::string(200, '.'));
    });
    trickle.repeat(10ms);
    flood.repeat(5ms);
    run_for(*pair.loop, 200ms);
    CHECK_FALSE(pair.at_b.closed);
    fast = false;
    run_until(*pair.loop, [&] { return pair.at_b.closed.has_value(); });
    CHECK(*pair.at_b.closed == CloseReason::timeout);
  }
}

TEST_CASE("a connection may be destroyed inside each of its callbacks") {
  Pair pair;
  SECTION("on_octets") {
    pair.at_b.each = [&](std::string_view) { pair.b.reset(); };
    pair.a->write("x");
    run_until(*pair.loop, [&] { return pair.at_a.closed.has_value(); });
    CHECK_FALSE(pair.b);
  }
  SECTION("on_closed") {
    struct Destroyer : Recorder {
      std::unique_ptr<Connection>* owner = nullptr;
      void on_closed(CloseReason reason) override {
        Recorder::on_closed(reason);
        owner->reset();
      }
    } destroyer;
    destroyer.owner = &pair.b;
    pair.b->set_handler(&destroyer);
    pair.a->close_when_written();
    run_until(*pair.loop, [&] { return destroyer.closed.has_value(); });
    CHECK_FALSE(pair.b);
  }
  SECTION("with work deferred") {
    pair.a->write("unsent");
    pair.a.reset();
    run_until(*pair.loop, [&] { return pair.at_b.closed.has_value(); });
    CHECK(pair.at_b.octets.empty());
  }
}

TEST_CASE("a handler that runs out of memory loses its connection, not the process") {
  Pair pair;
  pair.at_b.each = [](std::string_view) { throw std::bad_alloc(); };
  pair.a->write("x");
  run_until(*pair.loop, [&] { return pair.at_b.closed.has_value(); });
  CHECK(*pair.at_b.closed == CloseReason::no_memory);
}
