/* SPDX-License-Identifier: MIT */
#include "admin/command.h"

int
main(int argc, char **argv)
{
    return admin_run(argc, argv);
}
