// mkspool: a spool with a backlog, fast: N messages in spool/queue, spread over domains and senders, synced once.
//
//   mkspool --spool DIR [--messages 100000] [--domains 1] [--senders 1] [--octets 1024] [--domain dead.example]
//           [--age SECONDS] [--attempts N --retry-in SECONDS] [--owner UID]
//
// With several domains the recipients are at d0.DOMAIN, d1.DOMAIN …
#include <fcntl.h>
#include <unistd.h>
#include <xxhash.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <thread>

#include "base/strings.h"
#include "spool/reader.h"
#include "spool/spool.h"

using namespace mail;

namespace {

struct Options {
  std::map<std::string, std::string> values{{"--spool", ""},    {"--messages", "100000"}, {"--domains", "1"},
                                            {"--senders", "1"}, {"--octets", "1024"},     {"--domain", "dead.example"},
                                            {"--age", "0"},     {"--attempts", "0"},      {"--retry-in", "0"},
                                            {"--owner", ""}};
  const std::string& text(const char* name) const { return values.at(name); }
  std::uint64_t number(const char* name) const { return std::strtoull(values.at(name).c_str(), nullptr, 10); }
};

std::string file_of(const Options& options, const spool::Envelope& envelope) {
  std::string content =
      concat({"From: <", envelope.reverse_path, ">\r\nTo: <", envelope.recipients[0].forward_path, ">\r\nMessage-ID: <",
              envelope.id.text(), "@bench.example>\r\nSubject: backlog\r\n\r\n"});
  const std::string line = "The quick brown fox jumps over the lazy dog.\r\n";
  while (content.size() < options.number("--octets")) content += line;
  const auto text = spool::print(envelope);
  return concat({spool::first_line(text, content.size(), XXH3_64bits(content.data(), content.size())), text, content});
}

bool write_one(const spool::Spool& spool, const Options& options, std::uint64_t number) {
  const auto now = std::chrono::floor<std::chrono::seconds>(Clock::system().now());
  spool::Envelope envelope;
  envelope.id = MessageId::generate();
  envelope.arrival = now - std::chrono::seconds(options.number("--age"));
  envelope.protocol = "ESMTP";
  envelope.client_address = "192.0.2.1";
  envelope.helo = "bench.example";
  envelope.reverse_path = concat({"sender", decimal(number % options.number("--senders")), "@bench.example"});
  envelope.attempts = static_cast<std::uint32_t>(options.number("--attempts"));
  if (envelope.attempts > 0) envelope.next_attempt = now + std::chrono::seconds(options.number("--retry-in"));
  const auto domains = options.number("--domains");
  envelope.recipients.push_back(
      {.forward_path =
           concat({"user", decimal(number), "@", domains > 1 ? concat({"d", decimal(number % domains), "."}) : "",
                   options.text("--domain")})});
  const auto file = file_of(options, envelope);
  auto& disk = spool.disk();
  const auto& queue = spool.directory(spool::Box::queue);
  auto to = disk.open(queue, envelope.id.text(), O_WRONLY | O_CREAT | O_EXCL);
  if (!to || !disk.write(to->get(), file)) return false;
  const auto& owner = options.text("--owner");
  return owner.empty() ||
         ::fchown(to->get(), static_cast<uid_t>(options.number("--owner")), static_cast<gid_t>(-1)) == 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const auto found = options.values.find(argv[i]);
    if (found == options.values.end()) return std::fprintf(stderr, "mkspool: %s is not known\n", argv[i]), 64;
    found->second = argv[i + 1];
  }
  if (argc % 2 == 0 || options.text("--spool").empty() || options.number("--domains") == 0 ||
      options.number("--senders") == 0)
    return std::fprintf(stderr, "usage: mkspool --spool DIR [--messages N] ... (see its source)\n"), 64;
  auto spool = spool::Spool::open(options.text("--spool"));
  if (!spool) return std::fprintf(stderr, "mkspool: %s\n", spool.error().text.c_str()), 75;
  const auto began = std::chrono::steady_clock::now();
  const auto messages = options.number("--messages");
  std::atomic<std::uint64_t> next{0};
  std::atomic<bool> failed{false};
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < std::max(1U, std::thread::hardware_concurrency()); ++i)
    threads.emplace_back([&] {
      for (auto number = next++; number < messages && !failed; number = next++)
        if (!write_one(*spool, options, number)) failed = true;
    });
  for (auto& thread : threads) thread.join();
  if (failed) return std::perror("mkspool"), 75;
  (void)spool->disk().sync_filesystem(spool->root());
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  std::printf("%llu messages in %.1f s\n", static_cast<unsigned long long>(messages), took.count());
  return 0;
}
