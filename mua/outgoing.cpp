#include "mua/outgoing.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "base/disk.h"
#include "base/strings.h"
#include "spool/drop.h"

namespace mail::mua {

Status drop_into_spool(const Outgoing& message, const Way& way) {
  MAIL_TRY(spool, spool::Spool::open(way.spool_directory, {.create = false, .drop_only = true}));
  return spool::drop(spool, message.envelope, message.content);
}

namespace {

Result<Directory> open_outbox(const std::string& outbox) {
  std::error_code error;
  std::filesystem::create_directories(outbox, error);
  if (error) return fail_errno("cannot make the outbox", outbox, error.value());
  ::chmod(outbox.c_str(), 0700);
  return Disk::system().open_directory(outbox);
}

}  // namespace

Status keep_in_outbox(const Outgoing& message, const std::string& outbox) {
  auto& disk = Disk::system();
  MAIL_TRY(directory, open_outbox(outbox));
  const auto name = message.envelope.id.text(), temporary = "." + name;
  (void)disk.unlink(directory, temporary);  // what a crash has left
  MAIL_TRY(file, disk.open(directory, temporary, O_WRONLY | O_CREAT | O_EXCL));
  const auto write = [&]() -> Status {
    MAIL_CHECK(disk.write(file.get(), concat({"relais outbox 1\n", spool::print(message.envelope), message.content})));
    MAIL_CHECK(disk.sync(file.get()));
    MAIL_CHECK(disk.close(std::move(file)));
    MAIL_CHECK(disk.rename(directory, temporary, directory, name));
    return disk.sync_directory(directory);
  };
  auto done = write();
  if (!done) (void)disk.unlink(directory, temporary);
  return done;
}

Result<std::vector<OutboxEntry>> list_outbox(const std::string& outbox) {
  constexpr std::string_view kFirstLine = "relais outbox 1\n";
  std::vector<OutboxEntry> entries;
  auto& disk = Disk::system();
  const auto directory = disk.open_directory(outbox);
  if (!directory) {
    if (directory.error().kind == Error::Kind::not_found) return entries;
    return tl::unexpected(directory.error());
  }
  MAIL_TRY(names, disk.list(*directory));
  std::ranges::sort(names);
  for (const auto& name : names) {
    if (!MessageId::parse(name)) continue;
    MAIL_TRY(file, disk.open(*directory, name, O_RDONLY));
    MAIL_TRY(text, read_file(file.get()));
    const auto end = text.find("\n\n");
    if (!text.starts_with(kFirstLine) || end == std::string::npos)
      return fail(Error::Kind::syntax, concat({outbox, "/", name, " is no message of the outbox"}));
    MAIL_TRY(envelope,
             spool::parse_envelope(std::string_view(text).substr(kFirstLine.size(), end + 2 - kFirstLine.size())));
    envelope.id = *MessageId::parse(name);
    entries.push_back({name, {envelope, text.substr(end + 2)}});
  }
  return entries;
}

Status remove_from_outbox(const std::string& name, const std::string& outbox) {
  auto& disk = Disk::system();
  MAIL_TRY(directory, disk.open_directory(outbox));
  MAIL_CHECK(disk.unlink(directory, name));
  return disk.sync_directory(directory);
}

namespace {

/// The message for these of its recipients.
Outgoing only(const Outgoing& message, const std::vector<std::size_t>& recipients) {
  Outgoing out{message.envelope, message.content};
  out.envelope.recipients.clear();
  for (const auto i : recipients) out.envelope.recipients.push_back(message.envelope.recipients[i]);
  return out;
}

Result<Outcome> hand_over(const Outgoing& message, const Way& way) {
  if (way.submission) return submit(message, way);
  MAIL_CHECK(drop_into_spool(message, way));
  return Outcome{way.spool_directory, {}, {}, {}};
}

}  // namespace

Result<Sent> send(const Outgoing& message, const Way& way, const std::string& outbox) {
  const auto keep = [&](const Outgoing& what, const std::string& why) -> Result<Sent> {
    if (const auto kept = keep_in_outbox(what, outbox); !kept)
      return fail(Error::Kind::temporary, concat({why, "; and the outbox could not take it: ", kept.error().text}));
    return Sent{Sent::How::kept, why};
  };
  const auto outcome = hand_over(message, way);
  if (!outcome) {
    const auto& error = outcome.error();
    if (error.kind == Error::Kind::temporary) return keep(message, error.text);
    if (!way.submission && error.kind == Error::Kind::not_found)
      return fail(Error::Kind::permanent,
                  error.text + " (no spool here: name a submission server in mua.toml, or --via URL)");
    return tl::unexpected(error);
  }
  Sent sent{way.submission ? Sent::How::submitted : Sent::How::spooled, outcome->accepted};
  if (!outcome->later.empty()) {
    MAIL_TRY(kept, keep(only(message, outcome->later), outcome->why));
    sent = std::move(kept);
  }
  if (outcome->refused.empty()) return sent;
  const bool others = outcome->refused.size() < message.envelope.recipients.size();
  return fail(Error::Kind::permanent, concat({outcome->why, !others                  ? ""
                                                            : outcome->later.empty() ? " (all others got it)"
                                                                                     : " (4yz: kept for mua flush)"}));
}

Result<Flushed> flush_outbox(const Way& way, const std::string& outbox) {
  Flushed out;
  const auto directory = Disk::system().open_directory(outbox);
  if (!directory && directory.error().kind == Error::Kind::not_found) return out;
  if (!directory) return tl::unexpected(directory.error());
  if (::flock(directory->fd(), LOCK_EX | LOCK_NB) != 0)
    return fail(Error::Kind::temporary, concat({outbox, ": another flush is at work"}));
  MAIL_TRY(entries, list_outbox(outbox));
  for (const auto& entry : entries) {
    const auto told = [&](Error::Kind kind, const std::string& text) {
      out.errors.push_back({kind, concat({entry.name, ": ", text})});
    };
    auto outcome = hand_over(entry.message, way);
    if (!outcome) {
      told(outcome.error().kind, outcome.error().text);
      ++out.left;
      continue;
    }
    auto left = outcome->later;
    left.insert(left.end(), outcome->refused.begin(), outcome->refused.end());
    if (!left.empty()) told(outcome->refused.empty() ? Error::Kind::temporary : Error::Kind::permanent, outcome->why);
    ++(left.empty() ? out.sent : out.left);
    const bool as_before = left.size() == entry.message.envelope.recipients.size();
    const auto done = left.empty() ? remove_from_outbox(entry.name, outbox)
                      : as_before  ? Status()
                                   : keep_in_outbox(only(entry.message, left), outbox);
    if (!done) told(done.error().kind, done.error().text);
  }
  return out;
}

}  // namespace mail::mua
