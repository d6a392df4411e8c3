/** What one is called in games: the account's name, or what was entered last on this device. */
import { user } from "./account/session";

const NAME = "everplay.name";
/** As long as the rooms let it be. */
export const NAME_LENGTH = 20;

export const savedName = (): string => localStorage.getItem(NAME) ?? "";

export const saveName = (name: string): void => localStorage.setItem(NAME, name.trim());

/** The name to play under; accounts may have longer ones. */
export const playerName = (): string => shown(user()?.displayName ?? savedName());

/** What games show of a name. */
export const shown = (name: string): string => Array.from(name).slice(0, NAME_LENGTH).join("").trim();
