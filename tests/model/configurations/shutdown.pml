/* A pool is shut down under way, nobody waits for its futures; a worker may die. */
#define TASKS 2
#define SPINNERS 0
#define SHUTDOWN 1
#define AWAITED 0
#define CRASHES 1
#include "../slot_protocol.pml"
