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

Result<Sent> send(const Outgoing& message, const Way& way, const std::string& outbox) {
  std::string why;
  if (way.submission) {
    std::vector<std::string> refused;
    auto reply = submit(message, way, refused);
    if (reply) return Sent{Sent::How::submitted, std::move(*reply)};
    if (reply.error().kind != Error::Kind::temporary) return tl::unexpected(std::move(reply).error());
    why = reply.error().text;
  } else {
    const auto dropped = drop_into_spool(message, way);
    if (dropped) return Sent{Sent::How::spooled, way.spool_directory};
    if (dropped.error().kind == Error::Kind::not_found)
      return fail(Error::Kind::permanent,
                  dropped.error().text + " (no spool here: name a submission server in mua.toml, or --via URL)");
    if (dropped.error().kind != Error::Kind::temporary) return tl::unexpected(dropped.error());
    why = dropped.error().text;
  }
  if (const auto kept = keep_in_outbox(message, outbox); !kept)
    return fail(Error::Kind::temporary, concat({why, "; and the outbox could not take it: ", kept.error().text}));
  return Sent{Sent::How::kept, why};
}

}  // namespace mail::mua
