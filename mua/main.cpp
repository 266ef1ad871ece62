// mua; also sendmail, newaliases, mailq, mail and mailx where it is called so.
#include <signal.h>

#include <string_view>

#include "mua/context.h"

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  std::string_view name = argc > 0 ? argv[0] : "mua";
  if (const auto slash = name.rfind('/'); slash != std::string_view::npos) name.remove_prefix(slash + 1);
  if (name == "sendmail" || name == "mailq" || name == "newaliases") return mail::mua::run_sendmail(argc, argv);
  if (name == "mail" || name == "mailx" || name == "Mail") return mail::mua::run_mailx(argc, argv);
  return mail::mua::run_mua(argc, argv);
}
