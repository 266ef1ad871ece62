#include "mua/write_input.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "base/disk.h"
#include "base/strings.h"
#include "mua/text.h"

namespace mail::mua {

bool uses_editor(const std::string& file) { return file.empty() && ::isatty(STDIN_FILENO) != 0; }

void keep_written(std::string_view body, const std::string& outbox) {
  auto folder = std::filesystem::path(outbox).parent_path();
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  auto path = (folder / "unsent-XXXXXX").string();
  UniqueFd file(::mkostemp(path.data(), O_CLOEXEC));  // mode 0600
  auto& disk = Disk::system();
  if (!file || !disk.write(file.get(), body) || !disk.close(std::move(file))) {
    complain(concat({"what was written could not be kept in ", path}), 0);
    return;
  }
  complain(concat({"what was written is kept in ", path, " (mua send -b ", path, " takes it)"}), 0);
}

Result<std::string> read_body(const std::string& file, std::string_view initial) {
  if (uses_editor(file)) return edit(initial);
  if (file.empty() || file == "-") return read_all(STDIN_FILENO, kMostInput);
  return read_file_at(file, kMostInput);
}

namespace {

/// Runs the editor on the terminal that mua itself has; its words are split at blanks, no shell takes part.
bool run_editor(const std::string& path) {
  const char* chosen = ::getenv("VISUAL");
  if (chosen == nullptr || *chosen == '\0') chosen = ::getenv("EDITOR");
  if (chosen == nullptr || *chosen == '\0') chosen = "vi";
  std::vector<std::string> words;
  for (const auto word : split_words(chosen)) words.emplace_back(word);
  words.push_back(path);
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const auto child = ::fork();
  if (child < 0) return false;
  if (child == 0) {
    ::execvp(argv.front(), argv.data());
    ::_exit(127);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

Result<std::string> edit(std::string_view initial) {
  const char* folder = ::getenv("TMPDIR");
  std::string path = concat({folder == nullptr || *folder == '\0' ? "/tmp" : folder, "/mua-XXXXXX"});
  const UniqueFd file(::mkostemp(path.data(), O_CLOEXEC));  // mode 0600
  if (!file) return fail_errno("cannot make a file for the editor", path);
  auto result = [&]() -> Result<std::string> {
    MAIL_CHECK(Disk::system().write(file.get(), initial));
    if (!run_editor(path)) return fail(Error::Kind::refused, "the editor failed: nothing was sent");
    return read_file_at(path, kMostInput);  // by name: editors write a new file
  }();
  ::unlink(path.c_str());
  return result;
}

Result<Attachment> read_attachment(const std::string& file, const std::string& type) {
  MAIL_TRY(octets, read_file_at(file, kMostInput));
  return Attachment{file, type, std::move(octets)};
}

Result<spool::Notify> parse_notify(std::string_view text) {
  spool::Notify notify;
  for (const auto word : split(text, ',')) {
    if (iequals(word, "never"))
      notify.never = true;
    else if (iequals(word, "success"))
      notify.success = true;
    else if (iequals(word, "failure"))
      notify.failure = true;
    else if (iequals(word, "delay"))
      notify.delay = true;
    else
      return fail(
          Error::Kind::syntax,
          concat({"\"", word, "\" is no condition of a delivery notice: success, failure, delay and never are"}));
  }
  if (notify.never && (notify.success || notify.failure || notify.delay))
    return fail(Error::Kind::syntax, "never stands alone among the conditions of a delivery notice");
  return notify;
}

}  // namespace mail::mua
