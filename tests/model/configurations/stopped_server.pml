/* A task is cancelled by force at any time, while nobody can kill its worker; one that is submitted later ends all the
 * same. */
#define TASKS 2
#define SLOTS 2
#define ONE_BY_ONE 1
#define CANCELS 1
#define SERVER_STOPPED 1
#include "../slot_protocol.pml"
