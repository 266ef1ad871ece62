#include "spool/reader.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <xxhash.h>

#include <cstdio>
#include <utility>

#include "base/log.h"
#include "base/strings.h"

namespace mail::spool {

namespace {

constexpr std::uint64_t kMapAbove = 1U << 20;  // below, one read(2) costs less than mapping and faulting

/// XXH3-64 of the envelope with what may be overwritten in place read as '-'.
std::uint64_t envelope_hash(std::string_view text) {
  std::string fixed(text);
  for (std::size_t i = 6; i + 1 < kRetryLineOctets && i < fixed.size(); ++i)
    if (is_digit(static_cast<unsigned char>(fixed[i]))) fixed[i] = '-';
  for (const auto at : state_offsets(text))
    if (at < fixed.size()) fixed[at] = '-';
  return XXH3_64bits(fixed.data(), fixed.size());
}

struct FirstLine {
  std::uint64_t envelope_octets = 0, content_octets = 0, envelope_hash = 0, content_hash = 0;
};

std::optional<std::uint64_t> hex_number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<FirstLine> parse_first_line(std::string_view octets) {
  if (octets.size() < kFirstLineOctets || !octets.starts_with(kMagic) || octets[kFirstLineOctets - 1] != '\n')
    return std::nullopt;
  const auto line = octets.substr(kMagic.size(), kFirstLineOctets - kMagic.size() - 1);
  if (line[0] != '0' + kVersion || line[1] != ' ' || line[10] != ' ' || line[23] != ' ' || line[40] != ' ')
    return std::nullopt;
  const auto envelope = parse_decimal(line.substr(2, 8)), content = parse_decimal(line.substr(11, 12));
  const auto first = hex_number(line.substr(24, 16)), second = hex_number(line.substr(41, 16));
  if (!envelope || !content || !first || !second || *envelope > kMaxEnvelopeOctets) return std::nullopt;
  return FirstLine{*envelope, *content, *first, *second};
}

tl::unexpected<Error> damaged(std::string_view how) { return fail(Error::Kind::syntax, concat({"spool file: ", how})); }

Result<std::string> read_at_most(int fd, std::uint64_t octets) {
  std::string out(octets, '\0');
  std::size_t have = 0;
  while (have < out.size()) {
    const auto got = ::pread(fd, out.data() + have, out.size() - have, static_cast<off_t>(have));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("reading a spool file");
    if (got == 0) break;
    have += static_cast<std::size_t>(got);
  }
  out.resize(have);
  return out;
}

Result<UniqueFd> open_message(const Spool& spool, Box box, const MessageId& id, int flags) {
  UniqueFd file(::openat(spool.directory(box).fd(), id.text().c_str(), flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!file) return fail_errno("opening", concat({spool.directory(box).path(), "/", id.text()}));
  return file;
}

}  // namespace

std::string first_line(std::string_view envelope_text, std::uint64_t content_octets, std::uint64_t content_hash) {
  char line[kFirstLineOctets + 1];
  std::snprintf(line, sizeof line, "relais-spool %d %08llu %012llu %016llx %016llx\n", kVersion,
                static_cast<unsigned long long>(envelope_text.size()), static_cast<unsigned long long>(content_octets),
                static_cast<unsigned long long>(envelope_hash(envelope_text)),
                static_cast<unsigned long long>(content_hash));
  return line;
}

Result<ParsedFile> parse_file(std::string_view octets) {
  const auto first = parse_first_line(octets);
  if (!first) return damaged("the first line is not one");
  ParsedFile parsed;
  const auto rest = octets.substr(kFirstLineOctets);
  if (rest.size() != first->envelope_octets + first->content_octets)
    return damaged("its length is not what its first line says");
  parsed.envelope_text = rest.substr(0, first->envelope_octets);
  parsed.content = rest.substr(first->envelope_octets);
  if (envelope_hash(parsed.envelope_text) != first->envelope_hash)
    return damaged("the envelope's checksum does not match");
  if (XXH3_64bits(parsed.content.data(), parsed.content.size()) != first->content_hash)
    return damaged("the content's checksum does not match");
  MAIL_TRY(envelope, parse_envelope(parsed.envelope_text));
  parsed.envelope = std::move(envelope);
  return parsed;
}

StoredMessage::StoredMessage(StoredMessage&& other) noexcept { *this = std::move(other); }

StoredMessage& StoredMessage::operator=(StoredMessage&& other) noexcept {
  if (this == &other) return *this;
  if (mapping_ != nullptr) ::munmap(mapping_, mapping_octets_);
  spool_ = other.spool_;
  box_ = other.box_;
  envelope_ = std::move(other.envelope_);
  state_offsets_ = std::move(other.state_offsets_);
  content_ = other.content_;
  buffer_ = std::move(other.buffer_);  // longer than the small string buffer: the octets stay where they are
  mapping_ = std::exchange(other.mapping_, nullptr);
  mapping_octets_ = other.mapping_octets_;
  return *this;
}

StoredMessage::~StoredMessage() {
  if (mapping_ != nullptr) ::munmap(mapping_, mapping_octets_);
}

Result<StoredMessage> StoredMessage::open(const Spool& spool, Box box, const MessageId& id) {
  MAIL_TRY(file, open_message(spool, box, id, O_RDONLY));
  struct stat found {};
  if (::fstat(file.get(), &found) != 0) return fail_errno("looking at a spool file");
  if (!S_ISREG(found.st_mode)) return damaged("it is no regular file");
  StoredMessage message;
  message.spool_ = &spool;
  message.box_ = box;
  std::string_view octets;
  const auto size = static_cast<std::size_t>(found.st_size);
  if (size > kMapAbove) {
    void* mapping = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
    if (mapping == MAP_FAILED) return fail_errno("mapping a spool file");
    message.mapping_ = mapping;
    message.mapping_octets_ = size;
    octets = {static_cast<const char*>(mapping), size};
  } else {
    MAIL_TRY(content, read_at_most(file.get(), size));
    message.buffer_ = std::move(content);
    octets = message.buffer_;
  }
  MAIL_TRY(parsed, parse_file(octets));
  if (parsed.envelope.id != id) return damaged("its id is not its name");
  message.state_offsets_ = state_offsets(parsed.envelope_text);
  message.envelope_ = std::move(parsed.envelope);
  message.content_ = parsed.content;
  return message;
}

Status StoredMessage::set_state(std::size_t recipient, RecipientState state) {
  if (recipient >= state_offsets_.size()) return fail(Error::Kind::not_found, "no such recipient");
  MAIL_TRY(file, spool_->disk().open(spool_->directory(box_), envelope_.id.text(), O_WRONLY));
  const char octet = static_cast<char>(state);
  MAIL_CHECK(spool_->disk().pwrite(file.get(), {&octet, 1}, kFirstLineOctets + state_offsets_[recipient]));
  envelope_.recipients[recipient].state = state;
  return {};
}

Status StoredMessage::set_retry(WallTime next_attempt, std::uint32_t attempts) {
  MAIL_CHECK(spool::set_retry(*spool_, box_, envelope_.id, next_attempt, attempts));
  envelope_.next_attempt = next_attempt;
  envelope_.attempts = attempts;
  return {};
}

Result<Envelope> read_envelope(const Spool& spool, Box box, const MessageId& id) {
  MAIL_TRY(file, open_message(spool, box, id, O_RDONLY));
  constexpr std::uint64_t kFirstRead = 4096;  // nearly always the whole envelope
  MAIL_TRY(octets, read_at_most(file.get(), kFirstRead));
  const auto first = parse_first_line(octets);
  if (!first) return damaged("the first line is not one");
  const auto needed = kFirstLineOctets + first->envelope_octets;
  if (octets.size() < needed) {
    MAIL_TRY(more, read_at_most(file.get(), needed));
    octets = std::move(more);
  }
  if (octets.size() < needed) return damaged("the envelope is cut off");
  const auto text = std::string_view(octets).substr(kFirstLineOctets, first->envelope_octets);
  if (envelope_hash(text) != first->envelope_hash) return damaged("the envelope's checksum does not match");
  MAIL_TRY(envelope, parse_envelope(text));
  if (envelope.id != id) return damaged("its id is not its name");
  return std::move(envelope);
}

Status set_state(const Spool& spool, Box box, const MessageId& id, std::size_t recipient, RecipientState state) {
  MAIL_TRY(message, StoredMessage::open(spool, box, id));
  return message.set_state(recipient, state);
}

Status set_retry(const Spool& spool, Box box, const MessageId& id, WallTime next_attempt, std::uint32_t attempts) {
  MAIL_TRY(file, spool.disk().open(spool.directory(box), id.text(), O_WRONLY));
  return spool.disk().pwrite(file.get(), retry_line(next_attempt, attempts), kFirstLineOctets);
}

Status remove(const Spool& spool, Box box, const MessageId& id) {
  auto removed = spool.disk().unlink(spool.directory(box), id.text());
  if (!removed && removed.error().kind != Error::Kind::not_found) return removed;
  return remove_log(spool, box, id);
}

Status remove_log(const Spool& spool, Box box, const MessageId& id) {
  const auto log = id.text() + std::string(kLogSuffix);
  if (::faccessat(spool.directory(box).fd(), log.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) != 0) return {};
  auto removed_log = spool.disk().unlink(spool.directory(box), log);
  if (!removed_log && removed_log.error().kind != Error::Kind::not_found) return removed_log;
  return {};
}

namespace {

/// Whether both names are links to one file: a move that was killed between its two steps.
bool half_moved(const Spool& spool, Box from, Box to, const MessageId& id) {
  const auto before = spool.disk().stat(spool.directory(from), id.text());
  const auto after = spool.disk().stat(spool.directory(to), id.text());
  return before && after && before->st_ino == after->st_ino && before->st_dev == after->st_dev;
}

}  // namespace

Status move(const Spool& spool, Box from, Box to, const MessageId& id) {
  auto& disk = spool.disk();
  // link(2) and not rename(2): it fails where the name is taken.
  const auto log = id.text() + std::string(kLogSuffix);
  if (disk.stat(spool.directory(from), log))
    MAIL_CHECK(disk.rename(spool.directory(from), log, spool.directory(to), log));
  auto linked = disk.link(spool.directory(from), id.text(), spool.directory(to), id.text());
  if (!linked && !(linked.error().system == EEXIST && half_moved(spool, from, to, id))) {
    if (linked.error().system == EEXIST)
      return fail(Error::Kind::refused, concat({id.text(), " is in ", name_of(to), " already"}));
    return linked;
  }
  MAIL_CHECK(disk.sync_directory(spool.directory(to)));
  MAIL_CHECK(disk.unlink(spool.directory(from), id.text()));
  return disk.sync_directory(spool.directory(from));
}

Status set_aside(const Spool& spool, Box box, const MessageId& id, std::string_view why) {
  auto& disk = spool.disk();
  MAIL_CHECK(disk.rename(spool.directory(box), id.text(), spool.directory(Box::corrupt), id.text()));
  if (const auto again = StoredMessage::open(spool, Box::corrupt, id)) {
    // Recovery replaced the torn file by the journal's copy between our look and the move.
    return disk.rename(spool.directory(Box::corrupt), id.text(), spool.directory(box), id.text());
  }
  log_event(LogLevel::error, "damaged",
            {{"id", id.text()}, {"box", name_of(box)}, {"reason", why}, {"action", "moved to corrupt"}});
  return disk.sync_directory(spool.directory(Box::corrupt));
}

Status append_log(const Spool& spool, Box box, const MessageId& id, std::string_view line) {
  MAIL_TRY(file,
           spool.disk().open(spool.directory(box), id.text() + std::string(kLogSuffix), O_WRONLY | O_APPEND | O_CREAT));
  std::string text(line);
  for (auto& c : text)
    if (c == '\n' || c == '\r') c = ' ';
  text += '\n';
  MAIL_CHECK(spool.disk().write(file.get(), text));
  return spool.disk().close(std::move(file));
}

std::string read_log(const Spool& spool, Box box, const MessageId& id) {
  constexpr std::uint64_t kMostLog = 4U << 20;
  const UniqueFd file(::openat(spool.directory(box).fd(), (id.text() + std::string(kLogSuffix)).c_str(),
                               O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return {};
  auto text = read_file(file.get(), kMostLog);
  return text ? std::move(*text) : std::string();
}

}  // namespace mail::spool
