#include "mta/queue/actions.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>

#include "base/log.h"
#include "base/strings.h"
#include "spool/done.h"
#include "spool/nudge.h"
#include "spool/writer.h"

namespace mail::queue {

namespace {

constexpr std::uint64_t kDoneOctets = 64U << 10;  // of a short-lived process

void complain(const Entry& entry, const Error& error) {
  std::fprintf(stderr, "mta queue: %s: %s\n", entry.envelope.id.text().c_str(), error.text.c_str());
}

std::string look(const Entry& entry) { return "look " + entry.envelope.id.text(); }

/// Does `act` to each entry and nudges the relay about those that changed.
template <class Act>
std::size_t each(const spool::Spool& spool, const std::vector<Entry>& entries, std::string_view event, Act act) {
  std::vector<std::string> orders;
  for (const auto& entry : entries) {
    if (auto done = act(entry); !done) {
      complain(entry, done.error());
      continue;
    }
    log_event(LogLevel::info, event, {{"id", entry.envelope.id.text()}, {"uid", ::getuid()}});
    orders.push_back(look(entry));
  }
  if (auto told = spool::nudge(spool, orders); !told)
    std::fprintf(stderr, "mta queue: %s\n", told.error().text.c_str());
  return orders.size();
}

/// Two operators at the same time share a journal: one waits for the other.
template <class Open>
auto patiently(Open open) {
  constexpr int kMostTries = 100;
  auto opened = open();
  for (int tries = 1; !opened && opened.error().kind == Error::Kind::refused && tries < kMostTries; ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    opened = open();
  }
  return opened;
}

}  // namespace

Result<spool::Spool> open_spool(const std::string& path) {
  struct stat found {};
  if (::geteuid() == 0 && ::stat(path.c_str(), &found) == 0 && found.st_uid != 0) {
    if (::setegid(found.st_gid) != 0 || ::seteuid(found.st_uid) != 0) return fail_errno("becoming the owner of", path);
  }
  return spool::Spool::open(path, {.create = false});
}

std::size_t hold(const spool::Spool& spool, const std::vector<Entry>& entries) {
  return each(spool, entries, "held", [&](const Entry& e) -> Status {
    if (e.box == spool::Box::hold) return {};
    return spool::move(spool, e.box, spool::Box::hold, e.envelope.id);
  });
}

std::size_t release(const spool::Spool& spool, const std::vector<Entry>& entries) {
  return each(spool, entries, "released", [&](const Entry& e) -> Status {
    if (e.box != spool::Box::hold) return fail(Error::Kind::refused, "it is not held");
    return spool::move(spool, spool::Box::hold, spool::Box::queue, e.envelope.id);
  });
}

std::size_t retry(const spool::Spool& spool, const std::vector<Entry>& entries) {
  return each(spool, entries, "retry-asked", [&](const Entry& e) {
    return spool::set_retry(spool, e.box, e.envelope.id, WallTime{}, e.envelope.attempts);
  });
}

Result<std::size_t> remove(const spool::Spool& spool, const std::vector<Entry>& entries) {
  MAIL_TRY(done, patiently([&] { return spool::DoneJournal::open(spool, "queue", kDoneOctets); }));
  const auto count = each(spool, entries, "deleted", [&](const Entry& e) -> Status {
    MAIL_CHECK(done->note(e.box, e.envelope.id));
    // A held message was born in the queue, and a journal may still know it there.
    if (e.box == spool::Box::hold) MAIL_CHECK(done->note(spool::Box::queue, e.envelope.id));
    return spool::remove(spool, e.box, e.envelope.id);
  });
  MAIL_CHECK(done->sync());
  return count;
}

Result<std::size_t> move(const spool::Spool& spool, const std::vector<Entry>& entries, const std::string& recipient) {
  std::vector<Entry> moved;
  {
    spool::WriterOptions options;
    options.small_message_octets = 0;  // synced as files: the journal of a short-lived process stays small
    options.segment_octets = 1U << 20;
    options.most_segments = 2;
    MAIL_TRY(writer, patiently([&] { return spool::Writer::open(spool, "queue", options); }));
    for (const auto& entry : entries) {
      auto message = spool::StoredMessage::open(spool, entry.box, entry.envelope.id);
      if (!message) {
        complain(entry, message.error());
        continue;
      }
      auto envelope = message->envelope();
      envelope.id = MessageId::generate();
      envelope.next_attempt = {};
      envelope.attempts = 0;
      envelope.recipients = {spool::Recipient{.forward_path = recipient}};
      if (auto put = writer->put({{spool::Box::queue, envelope}}, message->content()); !put) {
        complain(entry, put.error());
        continue;
      }
      log_event(LogLevel::info, "moved",
                {{"id", entry.envelope.id.text()}, {"as", envelope.id.text()}, {"to", recipient}});
      moved.push_back(entry);
    }
  }
  return remove(spool, moved);
}

Status flush(const spool::Spool& spool, const std::string& destination) {
  if (spool::relay_runs(spool)) return spool::nudge(spool, {destination.empty() ? "flush" : "flush " + destination});
  // Which messages take a route only the relay knows: for `host:port` and other transports all of them are due.
  const bool route = destination.find_first_of(":/") != std::string::npos;
  const auto named = [&](const Entry& entry) {
    return std::ranges::any_of(entry.envelope.recipients, [&](const spool::Recipient& recipient) {
      return spool::is_open(recipient.state) && spool::flush_names(destination, domain_of(recipient.forward_path));
    });
  };
  return each_entry(spool, {spool::Box::queue}, {}, Clock::system().now(), [&](const std::vector<Entry>& entries) {
    for (const auto& entry : entries)
      if (destination.empty() || route || named(entry))
        (void)spool::set_retry(spool, entry.box, entry.envelope.id, WallTime{}, entry.envelope.attempts);
  });
}

}  // namespace mail::queue
