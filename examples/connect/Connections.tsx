import { useEffect, useRef, type DetailedHTMLProps, type HTMLAttributes } from "react";
import type { CredvaultConnectElement } from "./credvault-connect";

type ConnectProps = DetailedHTMLProps<HTMLAttributes<CredvaultConnectElement>, CredvaultConnectElement>;
declare module "react" {
  namespace JSX { interface IntrinsicElements { "credvault-connect": ConnectProps & { session: string; label?: string } } }
}

export function Connections({ session, onChange, onClose }: { session: string; onChange(): void; onClose(): void }) {
  const element = useRef<CredvaultConnectElement>(null);
  useEffect(() => {
    const page = element.current!;
    const heard = { connected: onChange, disconnected: onChange, removed: onChange, closed: onClose, expired: onClose };
    for (const [name, listener] of Object.entries(heard)) page.addEventListener(name, listener);
    return () => { for (const [name, listener] of Object.entries(heard)) page.removeEventListener(name, listener); };
  }, [onChange, onClose]);
  return <credvault-connect ref={element} session={session} />;
}
