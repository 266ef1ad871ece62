// mdabench: what mda delivers per second out of spool/local, and nothing else.
//
//   mdabench --dir DIR [--messages N] [--size S] [--recipients R] [--users U] [--workers W] [--batch B]
//
// Fills DIR/spool/local with N messages, then empties it into DIR/mail by W workers. Prints one JSON line.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "base/log.h"
#include "base/strings.h"
#include "config/load.h"
#include "mda/environment.h"
#include "mda/local_queue.h"

int main(int argc, char** argv) {
  using namespace mail;
  std::string dir;
  std::size_t messages = 5000, size = 4096, recipients = 1, users = 100, workers = 2, batch = 64;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    const auto number = static_cast<std::size_t>(std::atoll(argv[i + 1]));
    if (name == "--dir") dir = argv[i + 1];
    if (name == "--messages") messages = number;
    if (name == "--size") size = number;
    if (name == "--recipients") recipients = number;
    if (name == "--users") users = number;
    if (name == "--workers") workers = number;
    if (name == "--batch") batch = number;
  }
  if (dir.empty()) return std::fprintf(stderr, "mdabench: --dir DIR is needed\n"), 64;
  std::filesystem::create_directories(dir + "/mail");
  {
    std::ofstream file(dir + "/users");
    for (std::size_t i = 0; i < users; ++i) file << "user" << i << ":{PLAIN}x\n";
  }
  auto settings = config::load_text(
      concat({"[host]\nname = \"bench.test\"\ndomains = [\"bench.test\"]\n[log]\ntarget = \"none\"\n[mail]\nroot = \"",
              dir, "/mail/%n\"\n[users]\npasswd_file = \"", dir, "/users\"\n[spool]\ndirectory = \"", dir,
              "/spool\"\n[mda]\nbatch = ", decimal(batch), "\n"}));
  if (!settings) return std::fprintf(stderr, "%s\n", to_string(settings.error()[0]).c_str()), 78;
  static_cast<void>(log_open("mdabench", {LogTarget::Kind::none, ""}, LogLevel::error));
  auto opened = mda::Environment::open(*settings, true, {.as_root = true});
  if (!opened) return std::fprintf(stderr, "%s\n", opened.error().text.c_str()), 73;
  auto& e = **opened;
  const std::string content = "Received: from bench\r\nSubject: bench\r\n\r\n" + [&] {
    std::string body;
    while (body.size() < size) body += "0123456789012345678901234567890123456789012345678901234567890123456789\r\n";
    return body;
  }();
  std::size_t next = 0;
  for (std::size_t i = 0; i < messages; ++i) {
    auto envelope = mda::new_envelope("s@bench.test", {}, "SMTP", Clock::system().now());
    for (std::size_t k = 0; k < recipients; ++k, ++next) {
      const auto user = concat({"user", decimal(next % users)});
      envelope.recipients.push_back({.forward_path = user + "@bench.test", .user = user});
    }
    auto message = e.writer->begin({{spool::Box::local, std::move(envelope)}});
    message->append(content);
    spool::Incoming::commit(std::move(message), [](Status) {});
  }
  std::this_thread::sleep_for(std::chrono::seconds(1));
  using Clock_ = std::chrono::steady_clock;
  const auto begin = Clock_::now();
  mda::LocalQueue queue(*settings, *e.spool, *e.agent, *e.writer, *e.done);
  static_cast<void>(queue.start(static_cast<unsigned>(workers)));
  while (!e.spool->list(spool::Box::local)->empty()) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const double seconds = std::chrono::duration<double>(Clock_::now() - begin).count();
  queue.stop();
  std::printf("{\"tool\":\"mdabench\",\"messages\":%zu,\"recipients\":%zu,\"secs\":%.3f,\"deliveries_per_s\":%.0f}\n",
              messages, recipients, seconds, static_cast<double>(messages * recipients) / seconds);
  return 0;
}
