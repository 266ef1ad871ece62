// spoolbench: messages per second that spool::Writer makes durable, with a number of producers that each wait for their
// commit, beside what physlimit says of the disk. A consumer removes what it finds, as a delivery would; --keep leaves
// everything (a dead destination).
//
//   spoolbench --dir D [--producers 1,10,100] [--octets 4096] [--secs 3] [--keep]
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <thread>

#include "base/strings.h"
#include "spool/reader.h"
#include "spool/watcher.h"
#include "spool/writer.h"

using namespace mail;
using namespace std::chrono;

namespace {

struct Options {
  std::string directory = ".";
  std::string producers = "1,10,100";
  std::size_t octets = 4096;
  double seconds = 3;
  bool keep = false;
};

spool::Envelope envelope_for_bench() {
  spool::Envelope envelope;
  envelope.id = MessageId::generate();
  envelope.arrival = Clock::system().now();
  envelope.protocol = "ESMTP";
  envelope.reverse_path = "ann@example.net";
  envelope.recipients.push_back({.forward_path = "bob@example.org"});
  return envelope;
}

void consume(const spool::Spool& spool, const std::atomic<bool>& stop) {
  auto watcher = spool::Watcher::open(spool, {spool::Box::local});
  while (watcher && !stop) {
    const auto found = watcher->read();
    if (!found || found->empty()) std::this_thread::sleep_for(milliseconds(1));
    if (found)
      for (const auto& f : *found) (void)spool::remove(spool, f.box, *MessageId::parse(f.name));
  }
}

int run(const Options& options, int producers) {
  const auto root = options.directory + "/spoolbench.tmp";
  std::filesystem::remove_all(root);
  auto spool = spool::Spool::open(root);
  if (!spool) return std::fprintf(stderr, "spoolbench: %s\n", spool.error().text.c_str()), 1;
  auto writer = spool::Writer::open(*spool, "bench");
  if (!writer) return std::fprintf(stderr, "spoolbench: %s\n", writer.error().text.c_str()), 1;
  std::this_thread::sleep_for(milliseconds(300));  // the first segment
  const std::string content(options.octets, 'x');
  std::atomic<bool> stop = false, consumer_stop = false;
  std::atomic<long> done = 0, failed = 0;
  std::thread consumer;
  if (!options.keep) consumer = std::thread([&] { consume(*spool, consumer_stop); });
  std::vector<std::thread> threads;
  const auto start = steady_clock::now();
  for (int i = 0; i < producers; ++i)
    threads.emplace_back([&] {
      while (!stop) ++((*writer)->put({{spool::Box::local, envelope_for_bench()}}, content) ? done : failed);
    });
  std::this_thread::sleep_for(duration<double>(options.seconds));
  stop = true;
  for (auto& thread : threads) thread.join();
  const auto elapsed = duration<double>(steady_clock::now() - start).count();
  consumer_stop = true;
  if (consumer.joinable()) consumer.join();
  std::printf(
      "{\"test\":\"spool commit\",\"octets\":%zu,\"producers\":%d,\"per_s\":%.0f,\"mean_ms\":%.3f,\"failed\":%ld}\n",
      options.octets, producers, static_cast<double>(done) / elapsed,
      elapsed * 1e3 * producers / static_cast<double>(std::max(1L, done.load())), failed.load());
  std::fflush(stdout);
  writer->reset();
  std::filesystem::remove_all(root);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view key = argv[i];
    if (key == "--keep") {
      options.keep = true;
    } else if (i + 1 < argc) {
      const char* value = argv[++i];
      if (key == "--dir") options.directory = value;
      if (key == "--producers") options.producers = value;
      if (key == "--octets") options.octets = std::strtoul(value, nullptr, 10);
      if (key == "--secs") options.seconds = std::strtod(value, nullptr);
    }
  }
  for (const auto word : split(options.producers, ','))
    if (const auto producers = parse_decimal<int>(word); !producers || run(options, *producers) != 0) return 1;
  return 0;
}
